//! The moment after which a request is read no further.

use tokio::time::Instant;

/// The deadline passed before everything was read.
#[derive(Debug)]
pub(super) struct Late;

/// Asked between steps whose time grows with the text.
pub(super) fn in_time(deadline: Instant) -> Result<(), Late> {
    if Instant::now() < deadline { Ok(()) } else { Err(Late) }
}
