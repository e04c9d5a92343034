//! Starts guests: the command line of qemu, the choice between KVM and emulation, the console as
//! lines. What runs in a guest belongs to `guest`.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::sys::{prctl::set_pdeathsig, signal::Signal};

use super::{initramfs, kernel::Kernel};
use crate::progress;

pub(crate) const QEMU: &str = "qemu-system-x86_64";
/// MAC addresses of a guest's network cards. A hub of qemu is the wire between them: it needs
/// nothing of this machine, and has one queue a card. More would take tap devices.
pub(crate) const CARDS: [&str; 2] = ["02:00:00:00:0a:00", "02:00:00:00:0a:01"];
/// A guest under KVM is there within two.
const PROBE: Duration = Duration::from_secs(10);
/// Only an emergency on the console: the suites print there. No wait before the reboot after a
/// panic. And nothing that costs an emulated machine much and is no part of networking.
const COMMAND_LINE: &str = "console=ttyS0 loglevel=1 panic=-1 oops=panic \
                            mitigations=off init_on_alloc=0 lsm= audit=0 nokaslr";
const ALIVE: &str = "vm: alive";

/// What executes the guest's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accel {
    Kvm,
    /// qemu itself, one instruction a nanosecond of the guest's time. So the guest sees a steady
    /// machine however busy this one is, its patience is not ours, and it skips the time it is
    /// idle.
    Emulated,
}

impl Accel {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Kvm => &["-accel", "kvm", "-cpu", "host"],
            Self::Emulated => {
                // Page tables of four levels: a fifth level costs a twentieth of the time, for
                // nothing. No cmpxchg16b, which the emulator (7.2) sometimes returns from with an
                // address in the flags: the kernel then dies of a double fault in its allocator.
                // Without that instruction the kernel uses another algorithm.
                &[
                    "-accel",
                    "tcg",
                    "-cpu",
                    "max,la57=off,cx16=off",
                    "-icount",
                    "shift=0,sleep=off,align=off",
                ]
            }
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kvm => "KVM",
            Self::Emulated => "emulation",
        }
    }
}

/// What a guest has besides its kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine {
    pub(crate) accel: Accel,
    pub(crate) cpus: u32,
    pub(crate) memory_mib: u32,
    /// Two network cards with a wire between them.
    pub(crate) cards: bool,
}

/// A running guest; ends when dropped, and with the thread that started it.
pub(crate) struct Guest {
    child: Child,
    pub(crate) console: Receiver<String>,
}

impl Guest {
    /// Boots `kernel` with `initrd`, which qemu reads as its standard input.
    pub(crate) fn boot(kernel: &Kernel, initrd: &File, machine: Machine) -> Result<Self> {
        let mut command = Command::new(QEMU);
        command.args(machine.accel.arguments());
        command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
        command.args([
            "-chardev",
            "file,id=console,path=/dev/stdout",
            "-serial",
            "chardev:console",
        ]);
        command.args(["-smp", &machine.cpus.to_string()]);
        command.args(["-m", &machine.memory_mib.to_string()]);
        command.args(["-initrd", "/dev/stdin"]).arg("-kernel").arg(&kernel.image);
        command.args(["-append", COMMAND_LINE]);
        let cards: &[&str] = if machine.cards { &CARDS } else { &[] };
        for (number, mac) in cards.iter().enumerate() {
            command.args(["-netdev", &format!("hubport,id=n{number},hubid=0")]);
            command.args(["-device", &format!("virtio-net-pci,netdev=n{number},mac={mac}")]);
        }
        command.stdin(initrd.try_clone()?).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Its own process group: Ctrl-C at the terminal is for us, and we end it in our turn.
        command.process_group(0);
        // SAFETY: between fork and exec only async-signal-safe calls are allowed; the closure makes
        // one system call and allocates nothing.
        unsafe { command.pre_exec(|| Ok(set_pdeathsig(Signal::SIGKILL)?)) };
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", progress::show(&command)))?;
        let (sender, console) = channel();
        forward_lines(child.stdout.take(), sender.clone());
        forward_lines(child.stderr.take(), sender);
        Ok(Self { child, console })
    }

    /// Waits for its end, which must be near: its console is closed.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        self.child.wait().context("lost qemu")
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward_lines(stream: Option<impl Read + Send + 'static>, to: Sender<String>) {
    let Some(stream) = stream else { return };
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            if to.send(clean(&line)).is_err() {
                return;
            }
        }
    });
}

/// A line without the control sequences that a BIOS writes to a serial line.
fn clean(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut clean = String::with_capacity(text.len());
    let mut characters = text.trim_end_matches('\r').chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' if characters.peek() == Some(&'[') => {
                characters.next();
                // The sequence ends with a letter.
                while characters.next().is_some_and(|c| !c.is_ascii_alphabetic()) {}
            }
            '\t' => clean.push(character),
            c if c.is_control() => {}
            c => clean.push(c),
        }
    }
    clean
}

/// Chooses KVM when a guest of `kernel` comes up with it. That `/dev/kvm` opens, or even runs some
/// code, proves little: in some clouds a whole kernel never gets to its end.
pub(crate) fn probe(kernel: &Kernel, cache: &Path) -> Result<(Accel, String)> {
    if File::options().read(true).write(true).open("/dev/kvm").is_err() {
        return Ok((Accel::Emulated, "no usable /dev/kvm".to_owned()));
    }
    let script = format!(
        "#!/bin/busybox sh\n/bin/busybox mount -t devtmpfs dev /dev\n\
         echo '{ALIVE}' >/dev/ttyS0\n/bin/busybox poweroff -f\n"
    );
    let initrd = initramfs::smallest(&script, cache)?;
    let machine = Machine { accel: Accel::Kvm, cpus: 1, memory_mib: 512, cards: false };
    Ok(match comes_up(&Guest::boot(kernel, &initrd, machine)?, PROBE) {
        Ok(()) => (Accel::Kvm, "a guest came up with it".to_owned()),
        Err(error) => (Accel::Emulated, format!("KVM does not work here: {error:#}")),
    })
}

fn comes_up(guest: &Guest, within: Duration) -> Result<()> {
    let deadline = Instant::now() + within;
    let mut last = String::from("nothing on the console");
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match guest.console.recv_timeout(left) {
            Ok(line) if line.contains(ALIVE) => return Ok(()),
            Ok(line) if !line.trim().is_empty() => last = line,
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => {
                bail!("no guest within {} s ({last})", within.as_secs())
            }
            Err(RecvTimeoutError::Disconnected) => {
                bail!("the guest ended before its time ({last})")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_are_left_out() {
        assert_eq!(clean(b"\x1bc\x1b[?7l\x1b[2J\x1b[0mSeaBIOS\tx\r"), "cSeaBIOS\tx");
        assert_eq!(clean("gcp → aws".as_bytes()), "gcp → aws");
    }

    #[test]
    fn a_guest_comes_up_or_a_reason_is_named() -> Result<()> {
        let guest = |script: &str| -> Result<Guest> {
            let mut child =
                Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn()?;
            let (sender, console) = channel();
            forward_lines(child.stdout.take(), sender);
            Ok(Guest { child, console })
        };
        comes_up(&guest("echo boot; echo 'vm: alive'")?, Duration::from_secs(10))?;
        let why = |script, within| -> Result<String> {
            Ok(comes_up(&guest(script)?, within).expect_err("not alive").to_string())
        };
        assert!(why("echo MSR", Duration::from_secs(10))?.contains("ended before its time (MSR)"));
        assert!(why("exec sleep 60", Duration::from_millis(20))?.contains("within 0 s (nothing"));
        Ok(())
    }
}
