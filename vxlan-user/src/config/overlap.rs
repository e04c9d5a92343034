//! Prefixes of one network that more than one member claims, or one member twice.
//!
//! An address belongs to one member. Only a default route may hold prefixes of others: there the
//! longest prefix wins, and the member with the default route gets the rest.

use ipnet::IpNet;

use super::error::Problems;
use super::types::Located;
use super::validate::on_line;

/// One prefix in the `allowed_ips` of one member.
pub(super) struct Claim {
    pub(super) prefix: Located<IpNet>,
    /// Which member; only equality counts.
    pub(super) member: usize,
    /// How messages name it.
    pub(super) name: String,
}

/// Reports each claim that collides with another, once, at the later of the two lines.
pub(super) fn refuse(mut claims: Vec<Claim>, problems: &mut Problems) {
    // Two prefixes either nest or are disjoint. In this order every prefix comes after all that
    // hold it, so that one pass with the stack of open prefixes finds every collision.
    claims.sort_by_key(|claim| {
        let prefix = claim.prefix.value;
        (prefix.addr(), prefix.prefix_len(), claim.prefix.line)
    });
    let mut open: Vec<&Claim> = Vec::new();
    for claim in &claims {
        while open.last().is_some_and(|outer| !outer.prefix.contains(&claim.prefix.value)) {
            open.pop();
        }
        if let Some(outer) = open.last() {
            let same = outer.prefix == claim.prefix;
            if outer.member == claim.member && same {
                problems.add(
                    claim.prefix.line,
                    format!(
                        "\"{}\" in allowed_ips of member {} is given twice{}. Remove one of the two.",
                        claim.prefix,
                        claim.name,
                        on_line(outer.prefix.line)
                    ),
                );
            } else if outer.member != claim.member && (same || outer.prefix.prefix_len() > 0) {
                collision(outer, claim, same, problems);
            }
        }
        open.push(claim);
    }
}

fn collision(outer: &Claim, inner: &Claim, same: bool, problems: &mut Problems) {
    let (later, earlier) =
        if inner.prefix.line >= outer.prefix.line { (inner, outer) } else { (outer, inner) };
    let relation = if same {
        format!("belongs to member {} already", earlier.name)
    } else {
        format!("overlaps \"{}\" of member {}", earlier.prefix, earlier.name)
    };
    problems.add(
        later.prefix.line,
        format!(
            "\"{}\" in allowed_ips of member {} {relation}{}. Give every address to one member \
             only.",
            later.prefix,
            later.name,
            on_line(earlier.prefix.line)
        ),
    );
}
