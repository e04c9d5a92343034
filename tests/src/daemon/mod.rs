//! The real `vxlan` binary inside a namespace: starting it, waiting until it is ready, running its
//! other verbs, stopping it. Knows the command line and the metrics page, nothing of the inside.

mod find;
mod log;
pub mod usage;

use std::{
    fs,
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

pub use self::find::binary;
use self::{find::metrics_address, log::Log};
use crate::{cmd, metrics::Metrics, netns::Ns, run::Run};

const READY_WITHIN: Duration = Duration::from_secs(60);
const EXIT_WITHIN: Duration = Duration::from_secs(10);

/// A daemon in a namespace. Dropping it stops it and takes down what it made.
#[derive(Debug)]
pub struct Daemon {
    ns: Ns,
    binary: PathBuf,
    config: PathBuf,
    run_dir: PathBuf,
    pin_dir: PathBuf,
    metrics: SocketAddr,
    /// What `launch` adds to the environment.
    environment: Vec<(String, String)>,
    log: Arc<Log>,
    child: Option<Child>,
    /// It may have made something that `vxlan down` has to remove.
    launched: bool,
}

impl Daemon {
    /// Writes the configuration into the run's directory, starts the daemon, waits until it reports
    /// that it is ready. `name` tells apart the daemons of one run.
    pub fn start(ns: &Ns, run: &Run, name: &str, config: &str) -> Result<Self> {
        let mut daemon = Self::prepare(ns, run, name, config)?;
        daemon.launch()?;
        Ok(daemon)
    }

    /// Everything but starting it: for verbs that need no daemon, and for [`Daemon::launch`].
    pub fn prepare(ns: &Ns, run: &Run, name: &str, config: &str) -> Result<Self> {
        Self::prepare_with(binary()?, ns, run, name, config)
    }

    /// Like [`Daemon::prepare`], with a binary of the caller's choice.
    pub fn prepare_with(
        binary: PathBuf,
        ns: &Ns,
        run: &Run,
        name: &str,
        config: &str,
    ) -> Result<Self> {
        let run_dir = run.dir().join(format!("{name}.run"));
        fs::create_dir_all(&run_dir).with_context(|| format!("creating {}", run_dir.display()))?;
        Ok(Self {
            ns: ns.clone(),
            binary,
            config: run.write(&format!("{name}.toml"), config)?,
            run_dir,
            pin_dir: run.bpffs().join(name),
            metrics: metrics_address(config)?,
            environment: Vec::new(),
            log: Arc::default(),
            child: None,
            launched: false,
        })
    }

    /// Starts the daemon and waits until it is ready.
    pub fn launch(&mut self) -> Result<()> {
        self.launch_with(&["run"])
    }

    /// Like [`Daemon::launch`], with arguments of the caller's choice.
    pub fn launch_with(&mut self, arguments: &[&str]) -> Result<()> {
        ensure!(self.child.is_none(), "the daemon runs already");
        let mut command = self.command(arguments);
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        // Its own process group: Ctrl-C at the terminal is for us, and we stop it in our turn.
        command.process_group(0).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().with_context(|| format!("starting {}", self.binary.display()))?;
        self.log = Arc::default();
        self.log.collect(child.stderr.take(), true);
        self.log.collect(child.stdout.take(), false);
        self.child = Some(child);
        if self.log.wait_for("INFO ready", READY_WITHIN) {
            self.launched = true;
            return Ok(());
        }
        let state = match self.status_at_end()? {
            Some(status) => {
                self.child = None;
                format!("ended with {status}")
            }
            None => format!("is not ready after {} s", READY_WITHIN.as_secs()),
        };
        bail!(
            "`vxlan run` in {} {state}. Configuration: {}. All it logged:\n{}",
            self.ns.name(),
            self.config.display(),
            self.log()
        )
    }

    /// From now on another version.
    pub fn set_binary(&mut self, binary: &Path) {
        binary.clone_into(&mut self.binary);
    }

    /// For the daemon, when it is started, and for no other verb.
    pub fn set_environment(&mut self, key: &str, value: &str) {
        self.environment.push((key.to_owned(), value.to_owned()));
    }

    /// `vxlan` with this daemon's configuration and directories, in its namespace.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.ns.command(&self.binary);
        command.arg("--config").arg(&self.config).arg("--run-dir").arg(&self.run_dir);
        command.arg("--pin-dir").arg(&self.pin_dir).args(arguments).env("NO_COLOR", "1");
        command
    }

    /// Runs another verb, as in `vxlan(&["show", "drops", "--json"])`. Any exit code is an answer.
    pub fn vxlan(&self, arguments: &[&str]) -> Result<cmd::Output> {
        cmd::output(&mut self.command(arguments))
    }

    /// Scrapes the daemon from inside its namespace.
    pub fn metrics(&self) -> Result<Metrics> {
        Metrics::fetch(&self.ns, self.metrics)
    }

    pub fn metrics_address(&self) -> SocketAddr {
        self.metrics
    }

    pub fn config(&self) -> &Path {
        &self.config
    }

    pub fn pin_dir(&self) -> &Path {
        &self.pin_dir
    }

    pub fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// Replaces the configuration file; the daemon gets no notice.
    pub fn write_config(&mut self, config: &str) -> Result<()> {
        self.metrics = metrics_address(config)?;
        fs::write(&self.config, config).context("writing the configuration")
    }

    /// The CPU time of the process so far: its own, and the kernel's for it.
    pub fn cpu_time(&self) -> Result<[Duration; 2]> {
        usage::cpu_time(self.pid().context("it does not run")?)
    }

    /// Everything the daemon has logged so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until a line of the daemon's stderr holds `text`.
    pub fn wait_for_log(&self, text: &str, timeout: Duration) -> bool {
        self.log.wait_for(text, timeout)
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Its exit status, if it has ended by itself.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        match &mut self.child {
            Some(child) => Ok(child.try_wait()?),
            None => Ok(None),
        }
    }

    /// After its log has ended or waiting has: how it exited, or nothing when it has not.
    fn status_at_end(&mut self) -> Result<Option<ExitStatus>> {
        let patience = if self.log.ended() { Duration::from_secs(1) } else { Duration::ZERO };
        self.child.as_mut().map_or(Ok(None), |child| wait_for_exit(child, patience))
    }

    /// SIGTERM and wait; whatever it leaves attached stays.
    pub fn terminate(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        // Fails only when it has ended already, which `wait` then tells.
        let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM);
        let Some(status) = wait_for_exit(&mut child, EXIT_WITHIN)? else {
            child.kill()?;
            child.wait()?;
            bail!("`vxlan run` ignores SIGTERM; killed. All it logged:\n{}", self.log());
        };
        if !status.success() {
            bail!("`vxlan run` ended with {status} at SIGTERM. All it logged:\n{}", self.log());
        }
        Ok(())
    }

    /// Restarts the daemon with another MAC address in its record, as if an earlier run had given
    /// it to that overlay interface.
    pub fn restart_with_mac(&mut self, interface: &str, mac: [u8; 6]) -> Result<()> {
        self.terminate()?;
        let path = self.run_dir.join("state.json");
        let mut state: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
        let networks = state["networks"].as_array_mut().context("no networks in the record")?;
        let network = networks.iter_mut().find(|network| network["interface"] == interface);
        network.with_context(|| format!("no {interface} in the record"))?["mac"] =
            serde_json::to_value(mac)?;
        fs::write(&path, serde_json::to_vec(&state)?)?;
        self.launch()?;
        ensure!(self.ns.mac(interface)? == mac, "{interface} has not got the MAC address");
        Ok(())
    }

    /// SIGKILL: as if the machine had run out of memory.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGKILL, and what it made stays for another daemon with the same directories.
    pub fn abandon(mut self) -> Result<()> {
        self.launched = false;
        self.kill()
    }

    /// SIGTERM, then `vxlan down` if it was ever ready. Either failing is an error.
    pub fn stop(mut self) -> Result<()> {
        self.terminate()?;
        if !std::mem::take(&mut self.launched) {
            return Ok(());
        }
        let out = self.down()?;
        ensure!(
            out.success(),
            "`vxlan down` in {} ended with {}:\n{}{}",
            self.ns.name(),
            out.status,
            out.stdout,
            out.stderr
        );
        Ok(())
    }

    /// `vxlan down`.
    pub fn down(&self) -> Result<cmd::Output> {
        self.vxlan(&["down"])
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // After a failure the namespace and the bpffs go anyway; this only makes it orderly.
        let _ = self.terminate();
        if self.launched {
            let _ = self.down();
        }
    }
}

fn wait_for_exit(child: &mut Child, patience: Duration) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + patience;
    loop {
        let status = child.try_wait()?;
        if status.is_some() || Instant::now() >= deadline {
            return Ok(status);
        }
        // `Child` has no wait with a time limit.
        thread::sleep(Duration::from_millis(5));
    }
}
