//! The relaxed forms of a message (RFC 6376 §3.4.2, §3.4.4): what relays may change on the way is left out of them.

/// A header field as it stands in the message.
#[derive(Debug, Clone, Copy)]
pub struct Field<'m> {
    name: &'m [u8],
    /// After the colon, with its folds, without its line end.
    value: &'m [u8],
}

impl Field<'_> {
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// Head and body: what stands before and after the first empty line.
pub fn split(message: &[u8]) -> (&[u8], &[u8]) {
    match message.windows(4).position(|window| window == b"\r\n\r\n") {
        Some(at) => (&message[..at + 2], &message[at + 4..]),
        None => (message, b""),
    }
}

/// The fields of a head, in their order. What is no field is passed over.
pub fn fields(head: &[u8]) -> Vec<Field<'_>> {
    let mut fields = Vec::new();
    let mut start = 0;
    while start < head.len() {
        let mut end = line_end(head, start);
        // A line that begins with a blank goes on with the one before it.
        while end < head.len() && is_blank(head[end]) {
            end = line_end(head, end);
        }
        let whole = &head[start..end];
        if let Some(colon) = whole.iter().position(|byte| *byte == b':') {
            let name = &whole[..colon];
            let blanks = name.iter().rev().take_while(|byte| is_blank(**byte)).count();
            fields.push(Field { name: &name[..colon - blanks], value: &whole[colon + 1..] });
        }
        start = end;
    }
    fields
}

/// The fields that `names` takes, in its order, each in relaxed form: of one name the last comes first, and what is
/// not there adds nothing (§5.4.2).
pub fn signed_fields(fields: &[Field<'_>], names: &[&str]) -> Vec<u8> {
    let mut data = Vec::with_capacity(2_048);
    for (n, name) in names.iter().enumerate() {
        let before = names[..n].iter().filter(|earlier| *earlier == name).count();
        if let Some(field) = fields.iter().rev().filter(|field| field.is(name)).nth(before) {
            push_field(&mut data, name.as_bytes(), field.value);
        }
    }
    data
}

/// Adds one field in relaxed form. `name` is in lower case.
pub fn push_field(data: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    data.extend_from_slice(name);
    data.push(b':');
    let unfolded = value.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n'));
    push_relaxed(data, unfolded.skip_while(|byte| is_blank(*byte)));
    data.extend_from_slice(b"\r\n");
}

/// A body in relaxed form: lines without blanks at their ends, and without the empty lines at its end.
pub fn body(raw: &[u8]) -> Vec<u8> {
    let mut relaxed = Vec::with_capacity(raw.len() + 2);
    let mut empty_lines = 0;
    for line in raw.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.iter().all(|byte| is_blank(*byte)) {
            empty_lines += 1;
            continue;
        }
        for _ in 0..std::mem::take(&mut empty_lines) {
            relaxed.extend_from_slice(b"\r\n");
        }
        push_relaxed(&mut relaxed, line.iter().copied());
        relaxed.extend_from_slice(b"\r\n");
    }
    relaxed
}

/// Blanks between words become one space; those at the end go.
fn push_relaxed(data: &mut Vec<u8>, bytes: impl Iterator<Item = u8>) {
    let mut blank = false;
    for byte in bytes {
        if is_blank(byte) {
            blank = true;
            continue;
        }
        if std::mem::take(&mut blank) {
            data.push(b' ');
        }
        data.push(byte);
    }
}

/// Where the line that begins at `start` ends, after its LF.
fn line_end(head: &[u8], start: usize) -> usize {
    let length = head[start..].iter().position(|byte| *byte == b'\n');
    length.map_or(head.len(), |length| start + length + 1)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6376 §3.4.5.
    #[test]
    fn the_standards_own_example_comes_out_as_it_says() {
        let message = b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n C \r\nD \t E\r\n\r\n\r\n";
        let (head, raw) = split(message);
        let fields = fields(head);
        assert_eq!(signed_fields(&fields, &["a", "b"]), b"a:X\r\nb:Y Z\r\n");
        assert_eq!(body(raw), b" C\r\nD E\r\n");
    }

    #[test]
    fn a_body_of_nothing_is_nothing() {
        assert_eq!(body(b""), b"");
        assert_eq!(body(b"\r\n \r\n\t\r\n"), b"");
        assert_eq!(body(b"a"), b"a\r\n");
        assert_eq!(body(b"\r\n\r\na\r\n\r\nb\r\n\r\n"), b"\r\n\r\na\r\n\r\nb\r\n");
    }

    #[test]
    fn of_one_name_the_last_is_taken_first() {
        let fields = fields(b"X: 1\r\nY: 2\r\nx: 3\r\n");
        assert_eq!(signed_fields(&fields, &["x", "x", "x", "y"]), b"x:3\r\nx:1\r\ny:2\r\n");
    }
}
