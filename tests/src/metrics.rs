//! Fetches and reads a Prometheus text page. Knows the text format, not which metrics there are.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::netns::Ns;

const PATIENCE: Duration = Duration::from_secs(5);
const BEFORE_THE_NEXT_TRY: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Sample {
    /// True when the sample has all of these labels with these values.
    pub fn matches(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(label, value)| self.labels.get(*label).is_some_and(|v| v == value))
    }
}

/// One scrape.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    pub samples: Vec<Sample>,
    /// The page as it came.
    pub text: String,
}

impl Metrics {
    /// GET /metrics at `address`, from inside the namespace: a page that was made after the
    /// request. Where pages are dear, the daemon sends one again, with the header field `Age`.
    pub fn fetch(ns: &Ns, address: SocketAddr) -> Result<Self> {
        loop {
            let (head, body) = ns
                .exec(|| get(address, "/metrics"))?
                .with_context(|| format!("GET http://{address}/metrics in {}", ns.name()))?;
            if !head.lines().any(|line| line.to_ascii_lowercase().starts_with("age:")) {
                return Self::parse(&body);
            }
            thread::sleep(BEFORE_THE_NEXT_TRY);
        }
    }

    pub fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
        let samples = lines.map(sample).collect::<Result<_>>()?;
        Ok(Self { samples, text: text.to_owned() })
    }

    /// The one sample of this name with these labels (it may have more).
    ///
    /// # Panics
    /// When there is none, or more than one: a mistyped name must not read as 0.
    #[track_caller]
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let found: Vec<&Sample> = self.named(name).filter(|s| s.matches(labels)).collect();
        match found[..] {
            [one] => one.value,
            [] => panic!("no sample {name} {labels:?}; there are:\n{}", self.listing(name)),
            _ => panic!("{} samples {name} {labels:?}:\n{}", found.len(), self.listing(name)),
        }
    }

    /// The sum of the samples of this name for which `filter` is true; 0 when there are none.
    pub fn sum(&self, name: &str, filter: impl Fn(&Sample) -> bool) -> f64 {
        // Not `sum`: over nothing that is -0, and prints so.
        self.named(name).filter(|s| filter(s)).fold(0.0, |sum, sample| sum + sample.value)
    }

    /// The sum over every sample that has all of these labels.
    pub fn total(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.sum(name, |sample| sample.matches(labels))
    }

    /// Dropped packets by `direction reason`, as in `rx unknown_source`, over all peers and
    /// networks; only what has happened.
    pub fn drops(&self) -> BTreeMap<String, u64> {
        let mut drops = BTreeMap::new();
        for sample in self.named("vxlan_drops_total").filter(|sample| sample.value > 0.0) {
            let label = |name: &str| sample.labels.get(name).map_or("", String::as_str);
            let reason = format!("{} {}", label("direction"), label("reason"));
            *drops.entry(reason).or_default() += sample.value as u64;
        }
        drops
    }

    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| sample.name == name)
    }

    fn listing(&self, name: &str) -> String {
        let start = |line: &&str| line.starts_with(name);
        self.text.lines().filter(start).collect::<Vec<_>>().join("\n")
    }
}

/// A GET in HTTP/1.0, so that the answer is neither chunked nor kept alive: its head and its body.
fn get(address: SocketAddr, path: &str) -> Result<(String, String)> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).context("connecting")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("reading the answer")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a header")?;
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        bail!("answered `{status}`: {body}");
    }
    Ok((head.to_owned(), body.to_owned()))
}

/// `name{label="value",…} value [timestamp]`
fn sample(line: &str) -> Result<Sample> {
    let bad = || format!("not a line of the Prometheus text format: {line}");
    let end = line.find(['{', ' ']).with_context(bad)?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, after) = rest.split_once("=\"").with_context(bad)?;
            let (value, after) = quoted(after).with_context(bad)?;
            labels.insert(label.trim().to_owned(), value);
            rest = after;
        }
    }
    let word = rest.split_whitespace().next().with_context(bad)?;
    let value = match word {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().with_context(bad)?,
    };
    Ok(Sample { name: name.to_owned(), labels, value })
}

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    const PAGE: &str = r#"
# HELP vxlan_drops_total Packets.
# TYPE vxlan_drops_total counter
vxlan_drops_total{direction="rx",reason="unknown_vni",peer="",vni=""} 3
vxlan_drops_total{direction="tx",reason="no_route",peer="a\"b\\}, c",vni="43"} 4 1700000000
up 1
vxlan_probe_rtt_seconds_bucket{le="+Inf"} +Inf
"#;

    #[test]
    fn reads_names_labels_and_values() -> anyhow::Result<()> {
        let metrics = Metrics::parse(PAGE)?;
        assert_eq!(metrics.get("up", &[]), 1.0);
        assert_eq!(metrics.get("vxlan_drops_total", &[("reason", "unknown_vni")]), 3.0);
        assert_eq!(metrics.get("vxlan_drops_total", &[("peer", "a\"b\\}, c")]), 4.0);
        assert_eq!(metrics.total("vxlan_drops_total", &[]), 7.0);
        assert_eq!(metrics.total("vxlan_drops_total", &[("vni", "44")]), 0.0);
        assert!(metrics.get("vxlan_probe_rtt_seconds_bucket", &[]).is_infinite());
        Ok(())
    }

    #[test]
    #[should_panic(expected = "no sample vxlan_drop_total")]
    fn a_mistyped_name_is_not_zero() {
        let metrics = Metrics::parse(PAGE).unwrap_or_default();
        metrics.get("vxlan_drop_total", &[]);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["up", "up{a=\"b\" 1", "up{a} 1", "up one"] {
            assert!(Metrics::parse(text).is_err(), "{text}");
        }
    }
}
