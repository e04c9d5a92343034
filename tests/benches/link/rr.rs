//! Request and response: one byte to the other host and one back, the next as soon as that is
//! there. Both hosts and all their softirqs are on one CPU, which never idles.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use vxlan_tests::{
    bench::{Bench, Better},
    wait::joined,
};

use crate::{
    cpu,
    host::Carrier,
    pair::{Medium, Pair, Pairs, SharedPairs, shared},
    room::{Entry, Reading, Room, Size},
};

const ARMS: [Carrier; 5] =
    [Carrier::Native, Carrier::Tc, Carrier::Kernel, Carrier::KernelXdp, Carrier::None];
/// The percentiles of the time that one takes.
const PERCENTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];
/// Without a response for so long, it is lost.
const PATIENCE: Duration = Duration::from_secs(2);
const REQUEST: [u8; 1] = [1];
const END: [u8; 1] = [0];

#[derive(Debug, Clone, Copy)]
enum Protocol {
    Udp,
    Tcp,
}

pub(crate) fn entries() -> Vec<Entry> {
    let pairs = SharedPairs::default();
    let entry = |protocol: Protocol| {
        let pairs = Rc::clone(&pairs);
        Entry {
            name: format!("rr/{}", protocol.name()),
            make: Box::new(move |size| {
                let pairs = shared(&pairs, Medium::Card, &ARMS)?;
                Ok(Box::new(RoundTrips { protocol, size, pairs }))
            }),
        }
    };
    [Protocol::Udp, Protocol::Tcp].map(entry).into()
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

struct RoundTrips {
    protocol: Protocol,
    size: Size,
    pairs: Rc<Pairs>,
}

impl Room for RoundTrips {
    fn benches(&self) -> Vec<Bench> {
        let protocol = self.protocol.name();
        let bench = |metric: &str, of: &str| Bench {
            name: format!("rr/{protocol}/{metric}"),
            condition: format!(
                "{of} one byte by {} and one back, without a pause, both hosts on one CPU; {}",
                protocol.to_uppercase(),
                Medium::Card.condition()
            ),
            unit: "µs".to_owned(),
            better: Better::Less,
            baseline: Carrier::Kernel.arm().name,
            arms: Carrier::with_before(&ARMS).into_iter().map(Carrier::arm).collect(),
        };
        let mut benches = vec![bench("cpu", "CPU time of both ends and their softirqs for")];
        benches.extend(
            PERCENTILES.map(|(name, _)| bench(name, &format!("The {name} of the time taken by"))),
        );
        benches
    }

    fn check(&mut self, arm: &str) -> Result<()> {
        self.pairs.pair(arm)?.check()
    }

    fn measure(&mut self, arm: &str) -> Result<Reading> {
        let pair = self.pairs.pair(arm)?;
        let count = match self.size {
            Size::Full => 50_000,
            Size::Quick => 10_000,
        };
        let drops = pair.drops()?;
        let before = cpu::Reading::now(cpu::measured()?)?;
        let (mut times, cpu) = match self.protocol {
            Protocol::Udp => udp(pair, count)?,
            Protocol::Tcp => tcp(pair, count)?,
        };
        let cpu = cpu + before.softirqs()?;
        let now = pair.drops()?;
        ensure!(now == drops, "dropped before {drops:?}, and after {now:?}");
        times.sort_unstable();
        let mut values = vec![cpu.as_secs_f64() * 1e6 / times.len() as f64];
        values.extend(PERCENTILES.map(|(_, part)| {
            let at = ((times.len() - 1) as f64 * part).round() as usize;
            times[at].as_secs_f64() * 1e6
        }));
        Ok(Reading { values, void: before.void(None)? })
    }
}

/// What each of so many took, and the CPU time of both threads.
fn udp(pair: &Pair, count: usize) -> Result<(Vec<Duration>, Duration)> {
    let server = pair.b.exec(|| UdpSocket::bind((pair.far_address(), 0)))??;
    let to = server.local_addr()?;
    let client = pair.a.exec(|| -> Result<UdpSocket> {
        let client = UdpSocket::bind((pair.near_address(), 0))?;
        client.connect(to)?;
        Ok(client)
    })??;
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(PATIENCE))?;
    }
    let answer = || loop {
        let mut byte = END;
        let (_, from) = server.recv_from(&mut byte).context("no request")?;
        if byte == END {
            return Ok(());
        }
        server.send_to(&byte, from)?;
    };
    let request = || {
        let mut byte = END;
        client.send(&REQUEST)?;
        ensure!(client.recv(&mut byte).context("no response")? == 1 && byte == REQUEST);
        Ok(())
    };
    both(answer, request, || Ok(client.send(&END).map(drop)?), count)
}

fn tcp(pair: &Pair, count: usize) -> Result<(Vec<Duration>, Duration)> {
    let listener = pair.b.exec(|| TcpListener::bind((pair.far_address(), 0)))??;
    let to = listener.local_addr()?;
    let mut client = pair.a.exec(|| TcpStream::connect_timeout(&to, PATIENCE))??;
    let (mut server, _) = listener.accept()?;
    for stream in [&server, &client] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
    }
    let mut end = client.try_clone()?;
    let answer = move || loop {
        let mut byte = END;
        server.read_exact(&mut byte).context("no request")?;
        if byte == END {
            return Ok(());
        }
        server.write_all(&byte)?;
    };
    let request = move || {
        let mut byte = END;
        client.write_all(&REQUEST)?;
        client.read_exact(&mut byte).context("no response")?;
        ensure!(byte == REQUEST, "another byte came back");
        Ok(())
    };
    both(answer, request, move || Ok(end.write_all(&END)?), count)
}

/// Runs both ends on the measured CPU.
fn both(
    answer: impl FnOnce() -> Result<()> + Send,
    mut request: impl FnMut() -> Result<()> + Send,
    end: impl FnOnce() -> Result<()> + Send,
    count: usize,
) -> Result<(Vec<Duration>, Duration)> {
    let cpu = cpu::measured()?;
    thread::scope(|scope| {
        let server = scope.spawn(move || -> Result<Duration> {
            cpu::bind(cpu)?;
            let start = cpu::thread_time()?;
            answer()?;
            Ok(cpu::thread_time()? - start)
        });
        let client = scope.spawn(move || -> Result<(Vec<Duration>, Duration)> {
            cpu::bind(cpu)?;
            let mut times = Vec::with_capacity(count);
            let start = cpu::thread_time()?;
            let mut sent = Instant::now();
            for _ in 0..count {
                request()?;
                let now = Instant::now();
                times.push(now - sent);
                sent = now;
            }
            let used = cpu::thread_time()? - start;
            end()?;
            Ok((times, used))
        });
        let (times, used) = joined(client.join())?;
        Ok((times, used + joined(server.join())?))
    })
}
