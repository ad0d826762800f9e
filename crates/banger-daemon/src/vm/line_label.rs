//! Puts the name of the program that wrote them before the lines of a log that comes in chunks.

use bytes::Bytes;

/// The label of a log's lines, and whether the next byte begins one.
#[derive(Debug)]
pub(super) struct LineLabel {
    prefix: String,
    is_at_line_start: bool,
}

impl LineLabel {
    /// The lines of a program.
    pub(super) fn of(program: &str) -> Self {
        Self { prefix: format!("{program}: "), is_at_line_start: true }
    }

    /// Returns a chunk of the log with the label before each line that begins in it.
    pub(super) fn label(&mut self, chunk: &[u8]) -> Bytes {
        let mut labelled = Vec::with_capacity(chunk.len() + self.prefix.len());
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            if self.is_at_line_start {
                labelled.extend_from_slice(self.prefix.as_bytes());
            }
            labelled.extend_from_slice(part);
            self.is_at_line_start = part.ends_with(b"\n");
        }
        labelled.into()
    }

    /// Returns what completes the last line, once: another log may follow.
    pub(super) fn end(&mut self) -> Option<Bytes> {
        let is_open = !std::mem::replace(&mut self.is_at_line_start, true);
        is_open.then(|| Bytes::from_static(b"\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_one_label_however_it_is_cut() {
        let log = b"one\n\ntwo\nhal";
        for size in 1..=log.len() {
            let mut label = LineLabel::of("qemu");
            let mut told = Vec::new();
            for chunk in log.chunks(size) {
                told.extend_from_slice(&label.label(chunk));
            }
            told.extend(label.end().into_iter().flatten());
            assert_eq!(
                String::from_utf8(told).unwrap(),
                "qemu: one\nqemu: \nqemu: two\nqemu: hal\n",
                "{size}"
            );
            assert_eq!(label.end(), None);
        }
    }

    #[test]
    fn an_empty_log_stays_empty() {
        let mut label = LineLabel::of("qemu");
        assert_eq!((label.label(b"").len(), label.end()), (0, None));
    }
}
