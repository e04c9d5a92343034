//! Requests to a running daemon, through its socket in the run directory.

use std::{
    fmt,
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};

use crate::probe::NatReports;

/// Timeout of a request that the daemon answers from memory.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of a reload, which loads programs and may wait for another reload.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Requests the reports of the daemon on NAT. `None`: no daemon runs.
pub(super) fn nat(socket: &Path) -> anyhow::Result<Option<NatReports>> {
    let Some(answer) = send(socket, "GET /nat", TIMEOUT)? else { return Ok(None) };
    let text = answer.map_err(|refused| anyhow!("{refused}"))?;
    let reports = serde_json::from_slice(&text);
    Ok(Some(reports.with_context(|| {
        format!(
            "the daemon at {} answers in another language: is it of this version?",
            socket.display()
        )
    })?))
}

/// Has the daemon read its configuration again. `None`: no daemon runs. An error inside tells why
/// the configuration was not applied; else the daemon's file is returned.
pub(super) fn reload(socket: &Path) -> anyhow::Result<Option<Result<String, String>>> {
    let answer = send(socket, "POST /reload", RELOAD_TIMEOUT)?;
    let file = |page: Vec<u8>| String::from_utf8_lossy(&page).into_owned();
    Ok(answer.map(|answer| answer.map(file).map_err(|refused| refused.body)))
}

/// An answer with another status than 200.
#[derive(Debug, PartialEq, Eq)]
struct ErrorReply {
    status: String,
    body: String,
}

impl fmt::Display for ErrorReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.body)
    }
}

/// Sends a request and returns the page. `None`: no daemon runs.
fn send(
    socket: &Path,
    request: &str,
    timeout: Duration,
) -> anyhow::Result<Option<Result<Vec<u8>, ErrorReply>>> {
    let stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        // A daemon that was killed leaves its socket file.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            bail!("{}: the daemon answers root alone", socket.display())
        }
        Err(error) => return Err(error).with_context(|| socket.display().to_string()),
    };
    let answer = match exchange(stream, request, timeout) {
        Ok(answer) => answer,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
        {
            let (daemon, seconds) = (socket.display(), timeout.as_secs());
            bail!("the daemon at {daemon} does not answer within {seconds} seconds")
        }
        Err(error) => {
            return Err(error)
                .with_context(|| format!("asking the daemon at {}", socket.display()));
        }
    };
    page(&answer).map(Some).with_context(|| format!("the daemon at {}", socket.display()))
}

/// Sends a request and receives the answer: in HTTP/1.0 it ends when the daemon closes the
/// connection.
fn exchange(mut stream: UnixStream, request: &str, timeout: Duration) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    write!(stream, "{request} HTTP/1.0\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Returns the body of an answer whose status is 200.
fn page(answer: &[u8]) -> anyhow::Result<Result<Vec<u8>, ErrorReply>> {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let Some(head) = head else { bail!("the answer broke off") };
    let status = String::from_utf8_lossy(&answer[..head]);
    let status = status.lines().next().unwrap_or_default();
    let body = &answer[head + 4..];
    if status.split(' ').nth(1) != Some("200") {
        let body = String::from_utf8_lossy(body).into_owned();
        return Ok(Err(ErrorReply { status: status.to_owned(), body }));
    }
    Ok(Ok(body.to_vec()))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::{fs::PermissionsExt as _, net::UnixListener},
        path::PathBuf,
        thread,
        time::Duration,
    };

    use tokio::sync::{mpsc, oneshot};

    use super::*;
    use crate::{
        daemon::Api,
        nat::{DeclaredFacts, SourcePorts},
        probe::{SharedReports, UnkeyedPeer},
        state::RunDir,
    };

    fn api_socket() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = RunDir::new(directory.path()).api_socket();
        (directory, path)
    }

    /// Returns a sender of reload requests that nobody receives.
    fn nobody() -> mpsc::Sender<oneshot::Sender<Result<(), String>>> {
        mpsc::channel(1).0
    }

    async fn requested(path: &Path) -> anyhow::Result<Option<NatReports>> {
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || nat(&path)).await.expect("it does not panic")
    }

    #[tokio::test]
    async fn the_daemon_s_reports_arrive_as_they_are() {
        let (_directory, path) = api_socket();
        let reports = SharedReports::default();
        let api = Api::serve(&path, Path::new("/vxlan.toml"), "gcp", reports.clone(), nobody())
            .expect("served");
        let answer = requested(&path).await.expect("an answer");
        assert_eq!(answer, Some(NatReports { node: "gcp".to_owned(), peers: Vec::new() }));

        let facts = DeclaredFacts {
            endpoint: None,
            learned: false,
            private: None,
            public: None,
            ports: SourcePorts::Flow,
        };
        let second = Duration::from_secs(1);
        let report = UnkeyedPeer::new("aws", second, facts).report(second);
        reports.put_some(0, vec![report.clone()]);
        let answer = requested(&path).await.expect("an answer").expect("a daemon");
        assert_eq!(answer.peers, [report.full()]);
        assert!(!answer.peers[0].evidence.is_empty());

        drop(api);
        assert!(!path.exists());
        assert_eq!(requested(&path).await.expect("no trouble"), None);
    }

    #[tokio::test]
    async fn the_socket_is_root_s_alone_and_replaces_a_stale_one() {
        let (directory, path) = api_socket();
        drop(UnixListener::bind(&path).expect("what a killed daemon leaves"));
        assert_eq!(requested(&path).await.expect("no trouble"), None);
        let _api =
            Api::serve(&path, Path::new("/vxlan.toml"), "gcp", SharedReports::default(), nobody())
                .expect("served");
        let mode = fs::metadata(&path).expect("a socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(requested(&path).await.expect("an answer").is_some());
        RunDir::new(directory.path()).clear().expect("cleared");
        assert!(!path.exists());
    }

    #[test]
    fn a_refusal_of_the_daemon_is_quoted() {
        let reply = page(b"HTTP/1.0 500 Internal Server Error\r\na: b\r\n\r\nout of luck");
        let reply = reply.expect("an answer").expect_err("no page").to_string();
        assert_eq!(reply, "HTTP/1.0 500 Internal Server Error: out of luck");
        let broken = page(b"HTTP/1.0 200 OK\r\na: b\r\n").expect_err("no answer");
        assert_eq!(broken.to_string(), "the answer broke off");
        let page = page(b"HTTP/1.0 200 OK\r\n\r\n\r\n\r\n").expect("an answer");
        assert_eq!(page.expect("a page"), b"\r\n\r\n");
    }

    #[test]
    fn an_answer_that_is_no_report_is_an_error() {
        let (_directory, path) = api_socket();
        let listener = UnixListener::bind(&path).expect("a socket");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut request = [0; 21];
            stream.read_exact(&mut request).expect("a request");
            assert_eq!(&request, b"GET /nat HTTP/1.0\r\n\r\n");
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n[]").expect("answered");
        });
        let error = format!("{:#}", nat(&path).expect_err("no reports"));
        assert!(error.contains("another language"), "{error}");
        server.join().expect("it answered");
    }
}
