//! Detects a second `location` of the same name if files are included in the first one.

use nginx::locations::LocationId;

use super::directive::{Conf, Outcome};
use super::Start;
use crate::snippets::{second, Location};

/// An `include` inside a location.
#[derive(Clone)]
pub struct Included {
    location: LocationId,
    /// The files, as in the argument of `include`.
    files: String,
}

/// Records an `include` inside a location.
pub fn note(cf: &mut Conf, files: &str) {
    let Some(location) = cf.this_location() else { return };
    if let Some(start) = cf.core::<Start>() {
        start.included.push(Included { location, files: files.to_owned() });
    }
}

/// Refuses a second location of the same name if files are included in the first one, and says what
/// to do instead. nginx would refuse it later (`ngx_http_join_exact_locations`).
pub fn check(cf: &mut Conf) -> Outcome {
    let included = cf.core::<Start>().map(|start| start.included.clone()).unwrap_or_default();
    for server in cf.prefixes()? {
        let locations: Vec<_> = server
            .iter()
            .map(|prefix| {
                let found = included.iter().find(|include| include.location == prefix.id);
                Location { name: &prefix.name, files: found.map(|include| include.files.as_str()) }
            })
            .collect();
        if let Some((at, message)) = second(&locations) {
            return Err(cf.error_at(&server[at].place, message));
        }
    }
    Ok(())
}
