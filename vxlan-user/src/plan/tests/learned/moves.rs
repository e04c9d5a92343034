//! What changes in the maps when endpoints move: one after the other, together, at random.

use super::*;

#[test]
fn a_move_leads_from_the_old_maps_to_the_new_ones_and_disturbs_nobody() {
    let config = hub();
    let mut endpoints = Endpoints::new(&config, |_| None);
    let mut maps = Maps::new(&Senders::new(&config, endpoints.all()));
    for (peer, to) in [
        (FIRST, at("203.0.113.5:1024")),
        (SECOND, at("203.0.113.5:1025")),
        // To the address of one that is declared, to another port there, and away again.
        (FIRST, at("198.51.100.20:1024")),
        (FIRST, at("198.51.100.20:1025")),
        (FIRST, LearnedEndpoint { sent_from: [10, 1, 1, 1].into(), ..at("198.51.100.20:1025") }),
        (SECOND, at("198.51.100.20:1024")),
        (FIRST, at("[2001:db8::2]:7")),
        (SECOND, at("192.0.2.7:50000")),
        (FIRST, at("203.0.113.5:1025")),
    ] {
        let before = endpoints.clone();
        let changes = endpoints.claim(&config, peer, to).expect("free").changes;
        assert!(!changes.is_empty());
        for change in changes {
            maps.write(change);
            for (network, members) in [
                (7, vec![(0, DECLARED), (1, FIRST)]),
                (8, vec![(2, FIRST), (3, SECOND), (4, KERNEL)]),
            ] {
                for (member, of) in members {
                    let here = match of {
                        DECLARED => Some("198.51.100.20:4000".to_owned()),
                        KERNEL => Some("192.0.2.7:40000".to_owned()),
                        mover if mover == peer => None,
                        other => before.of(other).map(|at| at.endpoint.to_string()),
                    };
                    if let Some(here) = here {
                        assert_eq!(maps.member(network, &here), Some(member), "{change:?}");
                    }
                }
            }
        }
        assert_eq!(maps, Maps::new(&Senders::new(&config, endpoints.all())));
        assert_eq!(endpoints.claim(&config, peer, to), Ok(Moves::default()), "nothing is new");
    }
    // The new one is known before the old one is forgotten.
    let changes = endpoints.claim(&config, FIRST, at("203.0.113.5:1026")).expect("free").changes;
    let removal = |change: &Change| matches!(change, Change::RemoveMapping(_));
    assert_eq!(changes.iter().map(removal).collect::<Vec<_>>(), [false, false, true, true]);
}

#[test]
fn no_two_peers_have_the_same_endpoint() {
    let config = hub();
    let mut endpoints = Endpoints::new(&config, |_| None);
    let here = at("203.0.113.5:1024");
    assert!(endpoints.claim(&config, FIRST, here).is_ok());
    assert_eq!(endpoints.claim(&config, SECOND, here), Err(Taken { by: FIRST }));
    assert_eq!(endpoints.of(SECOND), None);
    let declared = at("198.51.100.20:4000");
    assert_eq!(endpoints.claim(&config, SECOND, declared), Err(Taken { by: DECLARED }));
    assert!(endpoints.claim(&config, SECOND, at("198.51.100.20:4001")).is_ok());
    // Not to be learned.
    assert_eq!(endpoints.claim(&config, KERNEL, at("203.0.113.5:7")), Ok(Moves::default()));
    assert_eq!(endpoints.of(KERNEL), None);
    // To an endpoint that the other peer has left.
    assert!(endpoints.claim(&config, FIRST, at("203.0.113.5:1025")).is_ok());
    assert!(endpoints.claim(&config, SECOND, here).is_ok());
}

#[test]
fn a_refused_claim_is_granted_once_the_endpoint_is_free() {
    let config = hub();
    let mut endpoints = Endpoints::new(&config, |_| None);
    let (here, there) = (at("203.0.113.5:1024"), at("203.0.113.5:1025"));
    assert!(endpoints.claim(&config, FIRST, here).is_ok());
    assert_eq!(endpoints.claim(&config, SECOND, here), Err(Taken { by: FIRST }));
    assert_eq!(endpoints.refused(SECOND), Some(here));
    let mut maps = Maps::new(&Senders::new(&config, endpoints.all()));
    for change in endpoints.claim(&config, FIRST, there).expect("free").changes {
        maps.write(change);
    }
    assert_eq!((endpoints.of(FIRST), endpoints.of(SECOND)), (Some(there), Some(here)));
    assert_eq!(endpoints.refused(SECOND), None);
    assert_eq!(maps.member(8, "203.0.113.5:1024"), Some(3));
    assert_eq!(maps.member(8, "203.0.113.5:1025"), Some(2));
}

#[test]
fn a_released_endpoint_goes_to_the_peer_that_has_claimed_it() {
    let config = hub();
    let mut endpoints = Endpoints::new(&config, |_| None);
    let here = at("198.51.100.9:4789");
    assert!(endpoints.claim(&config, FIRST, here).is_ok());
    assert!(endpoints.contested().is_empty());
    assert_eq!(endpoints.claim(&config, SECOND, here), Err(Taken { by: FIRST }));
    assert_eq!(endpoints.contested(), [FIRST]);
    let mut maps = Maps::new(&Senders::new(&config, endpoints.all()));
    for change in endpoints.release(&config, FIRST).changes {
        maps.write(change);
    }
    assert_eq!((endpoints.of(FIRST), endpoints.of(SECOND)), (None, Some(here)));
    assert!(endpoints.contested().is_empty());
    let expected = Maps::new(&Senders::new(&config, endpoints.all()));
    assert_eq!(maps.mappings, expected.mappings);
}

#[test]
fn peers_whose_ports_the_nat_has_exchanged_move_together() {
    let config = hub();
    let (one, two) = (at("203.0.113.5:1024"), at("203.0.113.5:1025"));
    let start = || {
        let mut endpoints = Endpoints::new(&config, |_| None);
        assert!(endpoints.claim(&config, FIRST, one).is_ok());
        assert!(endpoints.claim(&config, SECOND, two).is_ok());
        endpoints
    };
    let mut endpoints = start();
    let mut maps = Maps::new(&Senders::new(&config, endpoints.all()));
    assert_eq!(endpoints.claim(&config, FIRST, two), Err(Taken { by: SECOND }));
    for change in endpoints.claim(&config, SECOND, one).expect("exchanged").changes {
        maps.write(change);
    }
    assert_eq!((endpoints.of(FIRST), endpoints.of(SECOND)), (Some(two), Some(one)));
    assert_eq!(maps.member(8, "203.0.113.5:1025"), Some(2));
    assert_eq!(maps.member(8, "203.0.113.5:1024"), Some(3));

    // A probe from the previous endpoint withdraws the claim.
    let mut endpoints = start();
    assert_eq!(endpoints.claim(&config, FIRST, two), Err(Taken { by: SECOND }));
    assert!(endpoints.claim(&config, FIRST, one).is_ok());
    assert_eq!(endpoints.claim(&config, SECOND, one), Err(Taken { by: FIRST }));
    // A claim to a declared endpoint does not make room either.
    assert!(endpoints.claim(&config, FIRST, at("198.51.100.20:4000")).is_err());
    assert_eq!(endpoints.claim(&config, SECOND, one), Err(Taken { by: FIRST }));
    assert_eq!((endpoints.of(FIRST), endpoints.of(SECOND)), (Some(one), Some(two)));
}

#[test]
fn a_restart_begins_with_what_was_learned_as_far_as_it_still_holds() {
    let config = hub();
    let here = at("203.0.113.5:1024");
    let previous = |name: &str| (name != "declared").then_some(here);
    let endpoints = Endpoints::new(&config, previous);
    assert_eq!(endpoints.all(), [None, Some(here), None, None]);
}

/// What each claim changes of the maps leads to what they would be filled with, whatever was
/// claimed before, refused, granted later and released; and no two peers ever have the same
/// endpoint.
#[test]
fn random_moves_lead_to_the_maps_of_a_new_plan() {
    let mut text = HUB.to_owned();
    for peer in 0..6 {
        text += &format!(
            "[[peer]]\nname = \"p{peer}\"\nendpoint = \"learn\"\nkey_file = \"p{peer}.key\"\n"
        );
    }
    for vni in 10..13 {
        text += &format!(
            "[[network]]\nvni = {vni}\ninterface = \"n{vni}\"\naddresses = [\"10.{vni}.0.1/24\"]\n"
        );
        for peer in (0..6).filter(|peer| (peer + vni) % 3 != 0) {
            let allowed = format!("allowed_ips = [\"10.{vni}.{}.0/24\"]", peer + 1);
            text += &format!("[[network.member]]\npeer = \"p{peer}\"\n{allowed}\n");
        }
        let allowed = format!("allowed_ips = [\"10.{vni}.9.0/24\"]");
        text += &format!("[[network.member]]\npeer = \"declared\"\n{allowed}\n");
    }
    let config = config::parse(&text, Path::new("test.toml")).expect("valid");
    let learning: Vec<usize> =
        (0..config.peers.len()).filter(|peer| config.peers[*peer].learns).collect();
    let mut seed = 1_u64;
    let mut below = |end: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % end
    };
    for _ in 0..20 {
        let mut endpoints = Endpoints::new(&config, |_| None);
        let mut maps = Maps::new(&Senders::new(&config, endpoints.all()));
        for _ in 0..300 {
            let peer = learning[below(learning.len())];
            // Few, so that they meet often; one address is the declared peer's.
            let address = ["198.51.100.20", "203.0.113.5"][below(2)];
            let to = at(&format!("{address}:{}", 4_000 + below(5)));
            let before = endpoints.clone();
            let moves = match below(12) {
                0 => endpoints.release(&config, peer),
                1 => {
                    endpoints.withdraw(peer);
                    Moves::default()
                }
                _ => endpoints.claim(&config, peer, to).unwrap_or_default(),
            };
            if below(10) == 0 {
                endpoints.take_back(&config, &moves);
                assert_eq!(endpoints.all(), before.all());
            } else {
                moves.changes.into_iter().for_each(|change| maps.write(change));
            }
            assert_eq!(maps, Maps::new(&Senders::new(&config, endpoints.all())));
            let all: Vec<_> = endpoints.all().iter().flatten().map(|at| at.endpoint).collect();
            let different: std::collections::HashSet<_> = all.iter().collect();
            assert_eq!(all.len(), different.len(), "{all:?}");
            for refused in endpoints.all_refused() {
                let claim = endpoints.refused(refused).expect("refused");
                let held = all.contains(&claim.endpoint);
                assert!(held || claim.endpoint == at("198.51.100.20:4000").endpoint, "{claim:?}");
            }
        }
    }
}
