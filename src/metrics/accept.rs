//! The media types that a client prefers.

/// The weight of a media type in an `Accept` header, from 0 (not acceptable) to 1000 (RFC 9110
/// section 12.5.1): the most specific matching range decides. Without a header every type is
/// acceptable.
pub fn quality(accept: Option<&str>, media_type: &str) -> u16 {
    let Some(accept) = accept else { return 1000 };
    let kind = media_type.split('/').next().unwrap_or_default();
    let specificity = |range: &str| match range {
        "*/*" => Some(0),
        range if range.strip_suffix("/*").is_some_and(|own| own.eq_ignore_ascii_case(kind)) => {
            Some(1)
        }
        range => range.eq_ignore_ascii_case(media_type).then_some(2),
    };
    accept
        .split(',')
        .filter_map(|element| {
            let mut parts = element.split(';').map(str::trim);
            let specificity = specificity(parts.next()?)?;
            let weight =
                parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            Some((specificity, weight.map_or(1000, thousandths)))
        })
        .max()
        .map_or(0, |(_, quality)| quality)
}

/// `0` to `1` with at most three decimal places; an invalid weight counts as none.
fn thousandths(weight: &str) -> u16 {
    weight
        .parse::<f32>()
        .ok()
        .filter(|weight| (0.0..=1.0).contains(weight))
        .map_or(0, |weight| (weight * 1000.0).round() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_range_decides() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.2";
        let cases = [
            (None, "text/html", 1000),
            (Some(""), "text/html", 0),
            (Some("*/*"), "text/html", 1000),
            (Some(browser), "text/html", 1000),
            (Some(browser), "application/json", 800),
            (Some(prometheus), "application/openmetrics-text", 600),
            (Some(prometheus), "text/plain", 500),
            (Some("text/*;q=0.3, text/html;q=0.1"), "text/html", 100),
            (Some("TEXT/HTML; q=0"), "text/html", 0),
            (Some("text/html;q=2"), "text/html", 0),
            (Some("text/html;q=x"), "text/html", 0),
            (Some("application/json"), "text/html", 0),
        ];
        for (accept, media_type, expected) in cases {
            assert_eq!(quality(accept, media_type), expected, "{accept:?} {media_type}");
        }
    }
}
