//! The fields of a small form, urlencoded or multipart: mail providers send one-click unsubscribes as either (RFC 8058 §3.1).

/// Field names and values, in their order. What is no form has no fields.
pub fn fields(content_type: &str, body: &[u8]) -> Vec<(String, String)> {
    let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    match kind.trim().to_ascii_lowercase().as_str() {
        "application/x-www-form-urlencoded" => {
            url::form_urlencoded::parse(body).into_owned().collect()
        }
        "multipart/form-data" => match parameter(parameters, "boundary") {
            Some(boundary) => multipart(&boundary, &String::from_utf8_lossy(body)),
            None => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn multipart(boundary: &str, body: &str) -> Vec<(String, String)> {
    let delimiter = format!("--{boundary}");
    let parts = body.split(delimiter.as_str()).skip(1).take_while(|part| !part.starts_with("--"));
    let field = |part: &str| {
        let part = part.strip_prefix("\r\n").or(part.strip_prefix('\n'))?;
        let (head, value) = part.split_once("\r\n\r\n").or(part.split_once("\n\n"))?;
        let disposition = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
        })?;
        let value = value.strip_suffix("\r\n").or(value.strip_suffix('\n')).unwrap_or(value);
        Some((parameter(disposition, "name")?, value.to_owned()))
    };
    parts.filter_map(field).collect()
}

/// The value of `name="value"` or `name=value` among parameters parted by `;`.
fn parameter(parameters: &str, name: &str) -> Option<String> {
    parameters.split(';').find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"');
        (key.trim().eq_ignore_ascii_case(name) && !value.is_empty()).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_one_click_are_read() {
        let one_click = vec![("List-Unsubscribe".to_owned(), "One-Click".to_owned())];
        for kind in [
            "application/x-www-form-urlencoded",
            "Application/X-WWW-Form-Urlencoded; charset=UTF-8",
        ] {
            assert_eq!(fields(kind, b"List-Unsubscribe=One-Click"), one_click);
        }
        let body = "--x\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--x--\r\n";
        for kind in [
            "multipart/form-data; boundary=x",
            "multipart/form-data; charset=utf-8; boundary=\"x\"",
        ] {
            assert_eq!(fields(kind, body.as_bytes()), one_click);
        }
        let loose = "preamble\n--x\nContent-Type: text/plain\ncontent-disposition: form-data; name=List-Unsubscribe\n\nOne-Click\n--x--";
        assert_eq!(fields("multipart/form-data; boundary=x", loose.as_bytes()), one_click);
    }

    #[test]
    fn what_is_no_form_has_no_fields() {
        for (kind, body) in [
            ("", &b"List-Unsubscribe=One-Click"[..]),
            ("text/plain", b"List-Unsubscribe=One-Click"),
            ("multipart/form-data", b"--x\r\n"),
            ("multipart/form-data; boundary=x", b"--x\r\n\xff\xfe\0--x--"),
            ("multipart/form-data; boundary=x", b"--y\r\n"),
        ] {
            assert_eq!(fields(kind, body), [], "{kind}");
        }
    }
}
