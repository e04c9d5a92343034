//! What a driver reports through ethtool(8)'s ioctl: its name, its queues, which packets it merges.
//! What it does not say is not known, which is no error. Changes nothing but the offloads of
//! interfaces that this program makes.

use std::{
    ffi::c_char,
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::virtio::VirtioFeatures;

/// include/uapi/linux/sockios.h.
const SIOCETHTOOL: u32 = 0x8946;
/// include/uapi/linux/ethtool.h.
const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_SGRO: u32 = 0x2c;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETHTOOL_SFEATURES: u32 = 0x3b;
const ETHTOOL_GCHANNELS: u32 = 0x3c;
/// A set of strings: the features' names.
const ETH_SS_FEATURES: u32 = 4;
/// Bytes of a string.
const STRING: usize = 32;

/// The features that merge packets before an XDP program sees them, by the kernel's names.
const MERGING: [&str; 2] = ["rx-lro", "rx-gro-hw"];

/// A network device, as its driver describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DriverInfo {
    pub driver: Option<String>,
    pub channels: Option<Channels>,
    /// The offloads that merge received packets and are on.
    pub merging_offloads: Vec<Offload>,
    /// Features of a virtio card; absent on any other.
    pub virtio: Option<VirtioFeatures>,
}

/// Pairs of a receive and a transmit queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channels {
    pub used: u32,
    pub max: u32,
    /// Receive and transmit queues are set together, in pairs.
    pub combined: bool,
}

impl Channels {
    /// Returns the arguments with which `ethtool -L` sets this number of queues.
    pub fn command(self, count: u32) -> String {
        if self.combined { format!("combined {count}") } else { format!("rx {count} tx {count}") }
    }
}

/// An offload that is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offload {
    /// The kernel's name of the feature, which `ethtool -K` takes.
    pub name: &'static str,
    /// It cannot be switched off.
    pub fixed: bool,
}

impl DriverInfo {
    /// Reads the driver of that interface, in the network namespace of the calling thread.
    pub fn read(interface: &str, mac: [u8; 6]) -> Self {
        let Ok(query) = Ethtool::new(interface) else { return Self::default() };
        Self {
            driver: query.driver().ok(),
            channels: query.channels().ok().flatten(),
            merging_offloads: query.merging_offloads().unwrap_or_default(),
            virtio: VirtioFeatures::read(interface, mac),
        }
    }
}

/// Switches off all that spares the kernel work when packets leave by that interface, so that it
/// cuts up GSO packets and completes checksums before.
pub(super) fn switch_offloads_off(interface: &str) -> io::Result<()> {
    Ethtool::new(interface)?.switch_transmit_offloads_off()
}

/// Has the kernel merge what that interface receives, for sockets that want it (`UDP_GRO`).
pub fn switch_gro_on(interface: &str) -> io::Result<()> {
    // `struct ethtool_value`: the command, and a number.
    // SAFETY: the structure has two words.
    unsafe { Ethtool::new(interface)?.run(&mut [ETHTOOL_SGRO, 1]) }
}

struct Ethtool {
    socket: OwnedFd,
    name: [c_char; libc::IFNAMSIZ],
}

impl Ethtool {
    fn new(interface: &str) -> io::Result<Self> {
        let mut name = [0; libc::IFNAMSIZ];
        if interface.len() >= name.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        for (place, byte) in name.iter_mut().zip(interface.bytes()) {
            *place = byte.cast_signed();
        }
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Inet, SockType::Datagram, flags, None)?;
        Ok(Self { socket, name })
    }

    /// One command. The first word of `words` is its number.
    ///
    /// # Safety
    /// `words` must be as long as what the kernel reads and writes for that command.
    unsafe fn run(&self, words: &mut [u32]) -> io::Result<()> {
        let data = libc::__c_anonymous_ifr_ifru { ifru_data: words.as_mut_ptr().cast() };
        let mut request = libc::ifreq { ifr_name: self.name, ifr_ifru: data };
        // SAFETY: the descriptor is open, the request whole, and what it points to long enough by
        // the function's contract.
        let result =
            unsafe { libc::ioctl(self.socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// `struct ethtool_drvinfo`: the command, the name, four more strings, and numbers.
    fn driver(&self) -> io::Result<String> {
        let mut words = [0; 49];
        words[0] = ETHTOOL_GDRVINFO;
        // SAFETY: the structure has 196 bytes.
        unsafe { self.run(&mut words) }?;
        Ok(text(bytes(&words[1..9])))
    }

    /// `struct ethtool_channels`: the maxima of receive, transmit, other and combined, then how
    /// many of each are used.
    fn channels(&self) -> io::Result<Option<Channels>> {
        let mut words = [0; 9];
        words[0] = ETHTOOL_GCHANNELS;
        // SAFETY: the structure has nine words.
        unsafe { self.run(&mut words) }?;
        let [_, max_rx, max_tx, _, max, rx, tx, _, combined] = words;
        Ok(if combined != 0 {
            Some(Channels { used: combined, max, combined: true })
        } else if rx != 0 && tx != 0 {
            Some(Channels { used: rx.max(tx), max: max_rx.min(max_tx), combined: false })
        } else {
            None
        })
    }

    fn switch_transmit_offloads_off(&self) -> io::Result<()> {
        let (strings, features) = self.features()?;
        let blocks = features[1];
        // `struct ethtool_sfeatures`: the command, how many blocks there are, and for each what to
        // change, and to what.
        let mut changes = vec![0; 2 + 2 * blocks as usize];
        changes[..2].copy_from_slice(&[ETHTOOL_SFEATURES, blocks]);
        for (bit, name) in strings.iter().enumerate() {
            let (at, mask) = (bit / 32, 1 << (bit % 32));
            let is_available = features.get(2 + at * 4).is_some_and(|block| block & mask != 0);
            if name.starts_with("tx-")
                && is_available
                && let Some(change) = changes.get_mut(2 + at * 2)
            {
                *change |= mask;
            }
        }
        // SAFETY: as many blocks as the kernel is told that there are.
        unsafe { self.run(&mut changes) }
    }

    fn merging_offloads(&self) -> io::Result<Vec<Offload>> {
        let (strings, features) = self.features()?;
        let found = MERGING.into_iter().filter_map(|name| {
            let bit = strings.iter().position(|string| string == name)?;
            let [available, _, active, _] = features.get(2 + bit / 32 * 4..)?.first_chunk()?;
            let is_set = |block: &u32| block >> (bit % 32) & 1 != 0;
            is_set(active).then(|| Offload { name, fixed: !is_set(available) })
        });
        Ok(found.collect())
    }

    /// Returns the names of all features, and `struct ethtool_gfeatures` with their state.
    fn features(&self) -> io::Result<(Vec<String>, Vec<u32>)> {
        // `struct ethtool_sset_info`: the command, nothing, a mask of 64 bits, and for the one set
        // that is requested how many strings it has.
        let mut info = [ETHTOOL_GSSET_INFO, 0, 1 << ETH_SS_FEATURES, 0, 0];
        // SAFETY: four words, and one for the set.
        unsafe { self.run(&mut info) }?;
        let count = info[4] as usize;
        // `struct ethtool_gstrings`: the command, the set, how many, and the strings.
        let mut names = vec![0; 3 + count * STRING / 4];
        names[..3].copy_from_slice(&[ETHTOOL_GSTRINGS, ETH_SS_FEATURES, info[4]]);
        // SAFETY: room for as many strings as the kernel just said; the features are a constant of
        // the running kernel.
        unsafe { self.run(&mut names) }?;
        // `struct ethtool_gfeatures`: the command, how many blocks of 32 there is room for, and for
        // each what can be changed, what was requested, what is on, and what never changes.
        let blocks = count.div_ceil(32);
        let mut features = vec![0; 2 + 4 * blocks];
        features[..2].copy_from_slice(&[ETHTOOL_GFEATURES, blocks as u32]);
        // SAFETY: the kernel writes no more blocks than it is told that there are.
        unsafe { self.run(&mut features) }?;
        let strings = bytes(&names[3..]);
        Ok((strings.chunks_exact(STRING).map(text).collect(), features))
    }
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Up to the first zero.
fn text(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
