//! `mom demo-backend`: something to route to, without a provider.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpListener;

use super::Failure;
use crate::config::parse_duration;
use crate::demo::Demo;
use crate::shutdown;

/// Every answer says that it comes from a demo; no model runs.
///
/// Speaks chat completions (streaming and not, with tools), completions, embeddings and
/// models. SIGINT and SIGTERM let running answers finish.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Address and port; port 0 picks a free one, named on stderr.
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// What the backend calls itself in its answers.
    #[arg(long, default_value = "cheap")]
    name: String,
    /// Time before the first byte of each answer.
    #[arg(long, default_value = "20ms", value_parser = parse_duration)]
    delay: Duration,
    /// Time before each further streamed token.
    #[arg(long, default_value = "5ms", value_parser = parse_duration)]
    token_delay: Duration,
}

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(args))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(args: Args) -> Result<(), Failure> {
    let listening = TcpListener::bind(args.listen).await;
    let listener = listening.map_err(|error| Failure::new(format!("cannot listen on {}: {error}", args.listen)))?;
    writeln!(io::stderr().lock(), "demo backend '{}' on http://{}/v1", args.name, listener.local_addr()?)?;
    let demo = Demo { name: args.name, delay: args.delay, token_delay: args.token_delay };
    let stop = async {
        // Where signals cannot be listened to, they end the process by themselves.
        if shutdown::signal().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    Ok(demo.serve(listener, stop).await?)
}
