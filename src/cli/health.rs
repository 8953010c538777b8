//! `mom health`: is the gateway ready? For container health checks, without another tool.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::Failure;
use crate::config::Config;

#[derive(Debug, clap::Args)]
#[command(after_help = "Asks /readyz on `server.admin_listen` and prints its answer; exit 0 when ready, 1 when not.")]
pub(super) struct Args {
    /// The configuration of the gateway that runs here.
    #[arg(long, default_value = "config.toml")]
    config: PathBuf,
    /// Seconds to wait for an answer.
    #[arg(long, default_value_t = 3, value_name = "SECONDS")]
    timeout: u64,
}

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    let config = Config::load(&args.config).map_err(|faults| Failure::config(faults.to_string()))?;
    let address = reachable(config.server.admin_listen);
    let (status, body) = ask(address, Duration::from_secs(args.timeout.max(1)))
        .map_err(|error| Failure::new(format!("no answer from http://{address}/readyz: {error}")))?;
    writeln!(std::io::stdout().lock(), "{}", body.trim())?;
    Ok(if status == "200" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A listener on all addresses is asked on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        } else {
            IpAddr::V6(Ipv6Addr::LOCALHOST)
        });
    }
    address
}

/// One GET over plain HTTP/1.0: status code and body.
fn ask(address: SocketAddr, timeout: Duration) -> std::io::Result<(String, String)> {
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    write!(stream, "GET /readyz HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
    let mut reader = BufReader::new(stream.take(1 << 20));
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split_whitespace().nth(1).unwrap_or_default().to_owned();
    let mut rest = String::new();
    reader.read_to_string(&mut rest)?;
    let body = rest.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.to_owned()))
}
