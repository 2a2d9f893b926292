//! Which characters a file's bytes stand for. The guess reads the whole file: a late name must not become mojibake.

use std::io::{self, Read};

use encoding_rs::{CoderResult, Decoder, GB18030, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// What a file's bytes are taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Utf8,
    /// Superset of GBK and GB2312.
    Gb18030,
    Windows1252,
    /// Little endian, with its mark: Excel's "Unicode text".
    Utf16Le,
    Utf16Be,
}

impl Encoding {
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Gb18030 => "GB18030",
            Self::Windows1252 => "Windows-1252",
            Self::Utf16Le => "UTF-16LE",
            Self::Utf16Be => "UTF-16BE",
        }
    }

    /// A cell's text, or `None` where its bytes are none.
    ///
    /// In all of these but UTF-16 (which [`Transcoded`] undoes first) the bytes of comma, tab, semicolon,
    /// quote and newline never are part of another character, so that cells can be cut out undecoded.
    pub fn decode(self, cell: &[u8]) -> Option<std::borrow::Cow<'_, str>> {
        match self {
            Self::Utf8 | Self::Utf16Le | Self::Utf16Be => {
                std::str::from_utf8(cell).ok().map(Into::into)
            }
            Self::Gb18030 => GB18030.decode_without_bom_handling_and_without_replacement(cell),
            Self::Windows1252 => Some(WINDOWS_1252.decode_without_bom_handling(cell).0),
        }
    }
}

/// Reads `input` to its end and says what its bytes are.
pub fn guess(mut input: impl Read) -> io::Result<Encoding> {
    let mut evidence = Evidence::default();
    let mut block = vec![0; 64 * 1024];
    let (mut filled, mut at_start) = (0, true);
    loop {
        let read = match input.read(&mut block[filled..]) {
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        filled += read;
        if at_start && filled < 2 && read > 0 {
            continue;
        }
        match &block[..filled] {
            [0xFF, 0xFE, ..] if at_start => return Ok(Encoding::Utf16Le),
            [0xFE, 0xFF, ..] if at_start => return Ok(Encoding::Utf16Be),
            _ => at_start = false,
        }
        // Cut behind a byte that is a character of its own in every encoding.
        let whole = match block[..filled].iter().rposition(|b| *b < 0x30) {
            Some(last) if read > 0 => last + 1,
            None if read > 0 && filled < block.len() => 0,
            _ => filled,
        };
        evidence.weigh(&block[..whole]);
        block.copy_within(whole..filled, 0);
        filled -= whole;
        if read == 0 {
            return Ok(evidence.verdict());
        }
    }
}

/// How often the bytes read so far make sense in each encoding.
#[derive(Default)]
struct Evidence {
    utf8: usize,
    not_utf8: usize,
    /// Two bytes in GB2312's rows, where nearly all Chinese text lies.
    chinese: usize,
    /// A high byte beside a low one: an accent in a European word, a rarity in Chinese.
    not_chinese: usize,
}

impl Evidence {
    fn weigh(&mut self, block: &[u8]) {
        if block.is_ascii() {
            return;
        }
        for chunk in block.utf8_chunks() {
            self.utf8 += chunk.valid().bytes().filter(|b| *b >= 0xC0).count();
            self.not_utf8 += usize::from(!chunk.invalid().is_empty());
        }
        let mut at = 0;
        // Text that has been UTF-8 all along need not be tried as anything else.
        while self.not_utf8 > 0 && at < block.len() {
            at += match &block[at..] {
                [0..=0x7F, ..] => 1,
                [0x81..=0xFE, 0x30..=0x39, 0x81..=0xFE, 0x30..=0x39, ..] => 4,
                [0xA1..=0xF7, 0xA1..=0xFE, ..] => {
                    self.chinese += 1;
                    2
                }
                [0x81..=0xFE, 0x40..=0x7E | 0x80..=0xFE, ..] => {
                    self.not_chinese += 1;
                    2
                }
                _ => {
                    self.not_chinese += 1;
                    1
                }
            };
        }
    }

    /// One damaged row must not turn a whole file into accents: the odds decide, and its bytes are refused as a row.
    fn verdict(&self) -> Encoding {
        if self.not_utf8 == 0 || self.utf8 > 20 * self.not_utf8 {
            Encoding::Utf8
        } else if self.chinese > self.not_chinese {
            Encoding::Gb18030
        } else {
            Encoding::Windows1252
        }
    }
}

/// UTF-16 made UTF-8 on its way; what is no character becomes U+FFFD.
pub struct Transcoded<R> {
    input: R,
    decoder: Decoder,
    raw: Vec<u8>,
    raw_at: usize,
    raw_end: usize,
    text: Vec<u8>,
    text_at: usize,
    text_end: usize,
    ended: bool,
}

impl<R: Read> Transcoded<R> {
    pub fn new(input: R, encoding: Encoding) -> Self {
        let decoder = match encoding {
            Encoding::Utf16Be => UTF_16BE.new_decoder_with_bom_removal(),
            _ => UTF_16LE.new_decoder_with_bom_removal(),
        };
        Self {
            input,
            decoder,
            raw: vec![0; 32 * 1024],
            raw_at: 0,
            raw_end: 0,
            text: vec![0; 64 * 1024],
            text_at: 0,
            text_end: 0,
            ended: false,
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        while self.text_at == self.text_end && !self.ended {
            let mut last = false;
            if self.raw_at == self.raw_end {
                self.raw_end = self.input.read(&mut self.raw)?;
                self.raw_at = 0;
                last = self.raw_end == 0;
            }
            let raw = &self.raw[self.raw_at..self.raw_end];
            let (result, read, written, _) = self.decoder.decode_to_utf8(raw, &mut self.text, last);
            self.raw_at += read;
            (self.text_at, self.text_end) = (0, written);
            self.ended = last && result == CoderResult::InputEmpty;
        }
        Ok(())
    }
}

impl<R: Read> Read for Transcoded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        let ready = &self.text[self.text_at..self.text_end];
        let taken = ready.len().min(out.len());
        out[..taken].copy_from_slice(&ready[..taken]);
        self.text_at += taken;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Hands out few bytes at a time, so that characters are cut apart.
    struct Drops<'b>(&'b [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let taken = self.0.len().min(self.1).min(out.len());
            out[..taken].copy_from_slice(&self.0[..taken]);
            self.0 = &self.0[taken..];
            Ok(taken)
        }
    }

    fn guess_of(bytes: &[u8]) -> Encoding {
        let whole = guess(bytes).unwrap();
        assert_eq!(guess(Drops(bytes, 1)).unwrap(), whole, "however it is cut");
        assert_eq!(guess(Drops(bytes, 3)).unwrap(), whole, "however it is cut");
        whole
    }

    #[test]
    fn files_are_told_apart_by_their_bytes() {
        let chinese = "订单编号,收货人姓名\n1,李婉清\n2,Ann\n";
        let european = "order_id,name\n1,Jürgen Müller\n2,Zoë Façade\n3,Señor Peña\n";
        let gb = encoding_rs::GB18030.encode(chinese).0.into_owned();
        let latin = encoding_rs::WINDOWS_1252.encode(european).0.into_owned();
        let utf16: Vec<u8> = "\u{FEFF}a\tb".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(guess_of(chinese.as_bytes()), Encoding::Utf8);
        assert_eq!(guess_of(european.as_bytes()), Encoding::Utf8);
        assert_eq!(guess_of(format!("\u{FEFF}{chinese}").as_bytes()), Encoding::Utf8);
        assert_eq!(guess_of(&gb), Encoding::Gb18030);
        assert_eq!(guess_of(&latin), Encoding::Windows1252);
        assert_eq!(guess_of(&utf16), Encoding::Utf16Le);
        assert_eq!(guess_of(b""), Encoding::Utf8);
    }

    #[test]
    fn a_late_name_decides_too() {
        let mut file = b"order_id,name\n".repeat(20_000);
        file.extend_from_slice(&encoding_rs::GB18030.encode("1,李婉清\n").0);
        assert_eq!(guess_of(&file), Encoding::Gb18030);
    }

    #[test]
    fn utf_16_is_read_as_utf_8() {
        let text = "order_id\tname\n1\t李婉清 🍵\n".repeat(5_000);
        let bytes: Vec<u8> =
            format!("\u{FEFF}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut read = String::new();
        Transcoded::new(Drops(&bytes, 7), Encoding::Utf16Le).read_to_string(&mut read).unwrap();
        assert_eq!(read, text);
    }

    proptest! {
        #[test]
        fn any_bytes_are_something(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let encoding = guess_of(&bytes);
            let _ = encoding.decode(&bytes);
            let mut text = String::new();
            Transcoded::new(&bytes[..], encoding).read_to_string(&mut text).unwrap();
        }

        #[test]
        fn utf_8_is_always_known(text in ".{0,200}") {
            prop_assume!(!text.starts_with(['\u{FFFE}', '\u{FEFF}']));
            prop_assert_eq!(guess_of(text.as_bytes()), Encoding::Utf8);
        }
    }
}
