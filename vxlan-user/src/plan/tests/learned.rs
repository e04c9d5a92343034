//! Learned endpoints: who is known by what, and what changes when one moves.
