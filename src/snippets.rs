//! Configuration files that are included inside a location, and the message for a second location
//! of that name: most nginx snippets have a `location /` around their lines.

/// A location of a server, in the order of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Location<'a> {
    /// The path prefix.
    pub name: &'a [u8],
    /// The files that are included inside it, as written in the `include`.
    pub files: Option<&'a str>,
}

/// The first location with the name of an earlier location into which files are included: its
/// position, and why it is refused. nginx itself reports other duplicates.
pub fn second(locations: &[Location]) -> Option<(usize, String)> {
    locations.iter().enumerate().find_map(|(at, Location { name, .. })| {
        let first = locations[..at].iter().find(|earlier| earlier.name == *name)?;
        let files = first.files?;
        let name = String::from_utf8_lossy(name);
        let message = format!(
            "duplicate location \"{name}\", the lines inside it belong in a file of \"{files}\", \
             without \"location {name} {{\" and \"}}\" around them"
        );
        Some((at, message))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_location_is_found_where_files_are_included_in_the_first() {
        const FILES: Option<&str> = Some("/folder/*.conf");
        type Table<'a> = &'a [(&'a str, Option<&'a str>)];
        let cases: &[(Table, Option<usize>)] = &[
            (&[("/", FILES), ("/a", None), ("/", None)], Some(2)),
            (&[("/a", None), ("/a", None), ("/", FILES), ("/", None)], Some(3)),
            (&[("/a", None), ("/a", None), ("/", FILES)], None),
            (&[("/", None), ("/", FILES)], None),
            (&[("/", FILES), ("/a", FILES)], None),
            (&[], None),
        ];
        for (table, expected) in cases {
            let location = |(name, files): &(&'static str, _)| Location {
                name: name.as_bytes(),
                files: *files,
            };
            let locations: Vec<_> = table.iter().map(location).collect();
            assert_eq!(second(&locations).map(|found| found.0), *expected, "{table:?}");
        }
        let twice = [Location { name: b"/", files: FILES }; 2];
        assert_eq!(
            second(&twice).map(|found| found.1).as_deref(),
            Some(
                "duplicate location \"/\", the lines inside it belong in a file of \
                 \"/folder/*.conf\", without \"location / {\" and \"}\" around them"
            )
        );
    }
}
