//! Where log lines and spans go: stderr, and OTLP when configured.

use std::io::IsTerminal as _;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::{FilterExt as _, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::config::{LogFormat, Telemetry};

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error("telemetry.otlp_endpoint: {0}")]
    Otlp(#[from] opentelemetry_otlp::ExporterBuildError),
    #[error("a logger is installed already")]
    Installed(#[from] tracing_subscriber::util::TryInitError),
}

/// Flushes what is left of the spans when dropped.
#[derive(Debug, Default)]
pub struct Guard(Option<SdkTracerProvider>);

/// Installs the process-wide logger. `filter` in `RUST_LOG` syntax, for example `info`.
pub fn init(config: &Telemetry, filter: &str) -> Result<Guard, InitError> {
    let filter = EnvFilter::builder().parse_lossy(filter);
    let terminal = std::io::stderr().is_terminal();
    let format = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(terminal);
    let log = match config.log {
        LogFormat::Text => format.boxed(),
        LogFormat::Json => format.json().flatten_event(true).boxed(),
    };
    let provider = config.otlp_endpoint.as_deref().map(provider).transpose()?;
    let spans = provider.as_ref().map(|provider| {
        let only_requests = Targets::new().with_target("mom::request", tracing::Level::INFO);
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("mom"))
            .with_filter(only_requests.and(filter_fn(|metadata| metadata.is_span())))
    });
    // Spans are for OTLP; the log's one line per request says it all by itself.
    let log = log.with_filter(filter.and(filter_fn(|metadata| metadata.is_event())));
    tracing_subscriber::registry().with(log).with(spans).try_init()?;
    Ok(Guard(provider))
}

fn provider(endpoint: &str) -> Result<SdkTracerProvider, InitError> {
    let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
    let exporter = SpanExporter::builder().with_http().with_endpoint(url).build()?;
    let resource = Resource::builder().with_service_name("mom").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take()
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "some spans could not be exported");
        }
    }
}
