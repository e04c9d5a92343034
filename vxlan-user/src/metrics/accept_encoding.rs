//! Reads the header field `Accept-Encoding` (RFC 9110, section 12.5.3).

/// Returns whether a client takes gzip: it says so, or takes everything, and does not refuse it.
pub(super) fn accepts_gzip(field: &str) -> bool {
    let weights = field.split(',').filter_map(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?;
        let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        Some((name, weight.is_none_or(|weight| weight.parse::<f32>().is_ok_and(|q| q > 0.0))))
    });
    let (mut named, mut any) = (None, None);
    for (name, taken) in weights {
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            named = Some(taken);
        } else if name == "*" {
            any = Some(taken);
        }
    }
    named.or(any).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_where_it_is_named_and_not_refused() {
        for field in ["gzip", "GZIP", "deflate, gzip;q=0.5", "br;q=1.0 , x-gzip", "*", "*;q=0.1"] {
            assert!(accepts_gzip(field), "{field}");
        }
        for field in
            ["", "identity", "gzip;q=0", "gzip; q=0.000", "*, gzip;q=0", "*;q=0", "gzipped"]
        {
            assert!(!accepts_gzip(field), "{field}");
        }
        assert!(!accepts_gzip("gzip;q=much"));
    }
}
