//! Empty on purpose: it gives `vxlan-user` a target to depend on, so that cargo rebuilds the BPF
//! object when this crate changes. The programs are in `main.rs`.
#![no_std]
