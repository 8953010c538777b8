//! `mom serve`: the gateway.

use std::path::PathBuf;
use std::process::ExitCode;

use super::Failure;
use crate::config::Config;
use crate::gateway::{Gateway, StartError};
use crate::{shutdown, telemetry, upstream};

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// The configuration.
    #[arg(long, default_value = "config.toml")]
    config: PathBuf,
    /// What to log, in tracing's filter syntax: `warn`, `info`, `mom=debug`, ….
    #[arg(long, env = "MOM_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
}

const HELP: &str = "\
Listens on `server.listen` for clients and on `server.admin_listen` for operators
(/healthz, /readyz, /metrics). SIGTERM and SIGINT stop it once running requests and
streams are finished, at most `server.drain` later.

Every setting can be overridden by the environment: MOM_SERVER__LISTEN=127.0.0.1:9000.";

pub(super) fn run(args: Args) -> Result<ExitCode, Failure> {
    let config = Config::load(&args.config).map_err(|faults| Failure::config(faults.to_string()))?;
    upstream::install_tls();
    let _telemetry =
        telemetry::init(&config.telemetry, &args.log).map_err(|error| Failure::config(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> Result<ExitCode, Failure> {
    let running = Gateway::start(config).await.map_err(|error| match error {
        StartError::Minds(_) | StartError::Backend(_) | StartError::Ledger(_) => Failure::config(error.to_string()),
        StartError::Bind { .. } | StartError::Interrupted => Failure::new(error.to_string()),
    })?;
    tracing::info!(clients = %format_args!("http://{}/v1", running.public), operators = %format_args!("http://{}", running.admin), "ready");
    shutdown::signal().await?;
    tracing::info!("stopping: finishing requests and streams");
    if running.shutdown().await {
        tracing::info!("stopped");
        Ok(ExitCode::SUCCESS)
    } else {
        Err(Failure::new("stopped with requests cut off: server.drain was too short for them"))
    }
}
