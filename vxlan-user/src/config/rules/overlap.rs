//! Prefixes of one network that more than one member claims, or one member twice.
//!
//! An address belongs to one member. Only a default route may hold prefixes of others: there the
//! longest prefix wins, and the member with the default route gets the rest.

use ipnet::IpNet;

use super::shared::on_line;
use crate::config::error::Problems;
use crate::config::types::Located;

/// One prefix in the `allowed_ips` of one member.
pub(super) struct Claim {
    pub(super) prefix: Located<IpNet>,
    /// Identifies the member: only equality counts.
    pub(super) member: usize,
    /// The name of the member in messages.
    pub(super) name: String,
}

/// Reports each claim that collides with another claim, once, at the later of the two lines.
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
                        "\"{}\" in allowed_ips of member {} is given twice{}. Remove one of the \
                         two.",
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn claim(member: usize, prefix: IpNet, line: usize) -> Claim {
        let prefix = Located { value: prefix, line: u32::try_from(line).ok() };
        Claim { prefix, member, name: format!("m{member}") }
    }

    /// Decides by the rule itself whether two claims collide.
    fn collide(a: &Claim, b: &Claim) -> bool {
        let (a_net, b_net) = (a.prefix.value, b.prefix.value);
        if a_net == b_net {
            return true;
        }
        let nested = a_net.contains(&b_net) || b_net.contains(&a_net);
        let default_route = a_net.prefix_len() == 0 || b_net.prefix_len() == 0;
        a.member != b.member && nested && !default_route
    }

    #[test]
    fn one_sweep_finds_what_comparing_every_pair_finds() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut collisions = 0;
        for _ in 0..20_000 {
            let claims: Vec<Claim> = (0..2 + random(5) as usize)
                .map(|line| {
                    // Few bits at the top, so that prefixes often nest.
                    let length = random(5) as u8;
                    let bits = random(16) as u32;
                    let prefix = if random(4) == 0 {
                        IpNet::new_assert((u128::from(bits) << 124).to_be_bytes().into(), length)
                    } else {
                        IpNet::new_assert((bits << 28).to_be_bytes().into(), length)
                    };
                    claim(random(3) as usize, prefix.trunc(), line)
                })
                .collect();
            let pairs = claims
                .iter()
                .enumerate()
                .flat_map(|(index, a)| claims[index + 1..].iter().map(move |b| (a, b)));
            let expected = pairs.clone().any(|(a, b)| collide(a, b));
            let all: Vec<_> = claims.iter().map(|at| (at.member, at.prefix.value)).collect();
            let mut problems = Problems::new(Path::new("vxlan.toml"));
            refuse(claims, &mut problems);
            assert_eq!(problems.any(), expected, "{all:?}");
            collisions += usize::from(expected);
        }
        assert!((5_000..18_000).contains(&collisions), "a lopsided sample: {collisions}");
    }
}
