//! The processes that are measured, on free loopback ports, ended when dropped.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::BenchError;
use super::load::{Call, Connection};
use crate::bench::host::Memory;

/// A cold start that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Process {
    pub(super) addr: SocketAddr,
    /// From the start of the process to its first answer from the upstream.
    pub(super) cold_start: Duration,
    child: Child,
    config: PathBuf,
}

impl Process {
    pub(super) async fn mom(
        binary: &Path,
        name: &'static str,
        minds: bool,
        upstream: SocketAddr,
    ) -> Result<Self, BenchError> {
        let (addr, admin) = (free_port()?, free_port()?);
        let text = mom_config(addr, admin, upstream, minds);
        let mut command = Command::new(binary);
        command.arg("serve").arg("--config");
        Self::start(command, name, addr, &text, "toml").await
    }

    pub(super) async fn envoy(binary: &Path, upstream: SocketAddr) -> Result<Self, BenchError> {
        let addr = free_port()?;
        let mut command = Command::new(binary);
        command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "--config-path"]);
        Self::start(command, super::report::ENVOY, addr, &envoy_config(addr, upstream), "json").await
    }

    /// Writes the configuration, starts the command with its path as the last argument, and
    /// waits for the first answer.
    async fn start(
        mut command: Command,
        name: &'static str,
        addr: SocketAddr,
        config: &str,
        kind: &str,
    ) -> Result<Self, BenchError> {
        let path = std::env::temp_dir().join(format!("mom-bench-{}-{}.{kind}", std::process::id(), addr.port()));
        std::fs::write(&path, config)?;
        command.arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let started = Instant::now();
        let child = command.spawn().map_err(|error| {
            // Best effort: the failure to start is what matters.
            let _ = std::fs::remove_file(&path);
            BenchError::Start { target: name, why: error.to_string() }
        })?;
        let mut process = Self { addr, cold_start: Duration::ZERO, child, config: path };
        let mut last = io::Error::other("no answer");
        while started.elapsed() < PATIENCE {
            if let Some(status) = process.child.try_wait()? {
                return Err(BenchError::Start { target: name, why: format!("it ended with {status}") });
            }
            match first_answer(addr).await {
                Ok(()) => {
                    process.cold_start = started.elapsed();
                    return Ok(process);
                }
                Err(error) => last = error,
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Err(BenchError::Start { target: name, why: last.to_string() })
    }

    /// Resident memory in bytes, where the system tells it.
    pub(super) fn resident(&self) -> Option<u64> {
        Memory::of(&self.child.id().to_string()).map(|memory| memory.resident)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.config);
    }
}

async fn first_answer(addr: SocketAddr) -> io::Result<()> {
    Connection::open(addr).await?.ask(Call::Whole).await.map(drop)
}

/// A port that was free a moment ago.
fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

fn mom_config(addr: SocketAddr, admin: SocketAddr, upstream: SocketAddr, minds: bool) -> String {
    let mut text = format!("[server]\nlisten = \"{addr}\"\nadmin_listen = \"{admin}\"\n");
    if !minds {
        for role in ["brain", "jailbreak", "pii", "similarity"] {
            text.push_str(&format!("[minds.{role}]\nenabled = false\n"));
        }
    }
    // Judging is what takes time; a verdict must not change what is measured.
    let action = if minds { "flag" } else { "off" };
    text.push_str(&format!("[guard]\njailbreak = {{ action = \"{action}\" }}\npii = {{ action = \"{action}\" }}\n"));
    text.push_str(&format!("[backends.upstream]\nbase_url = \"http://{upstream}/v1\"\n"));
    text.push_str("[[routes]]\nname = \"all\"\ncandidates = [\"upstream\"]\n");
    text
}

/// One listener, one cluster, no access log: the least Envoy does for a proxied request.
fn envoy_config(addr: SocketAddr, upstream: SocketAddr) -> String {
    let address = |addr: SocketAddr| serde_json::json!({"socket_address": {"address": addr.ip().to_string(), "port_value": addr.port()}});
    let manager = serde_json::json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "0s"}}
        ]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
        }}],
    });
    let filter = serde_json::json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": manager});
    serde_json::json!({"static_resources": {
        "listeners": [{"name": "bench", "address": address(addr), "filter_chains": [{"filters": [filter]}]}],
        "clusters": [{"name": "upstream", "type": "STATIC", "connect_timeout": "5s", "load_assignment": {
            "cluster_name": "upstream",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}],
        }}],
    }})
    .to_string()
}
