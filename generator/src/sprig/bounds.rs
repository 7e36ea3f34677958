//! Bounds of a part of a string, checked as Go's runtime does and with its messages.

/// Returns the bounds of `text[start..end]`; an open end is the start or the end of the text.
pub(super) fn checked(start: Option<i64>, end: Option<i64>, len: usize) -> Result<(usize, usize), String> {
    let out = |text: String| format!("runtime error: slice bounds out of range {text}");
    let to = match end {
        Some(end) => match usize::try_from(end) {
            Ok(to) if to <= len => to,
            Ok(to) => return Err(out(format!("[:{to}] with length {len}"))),
            Err(_) => return Err(out(format!("[:{end}]"))),
        },
        None => len,
    };
    let Some(start) = start else { return Ok((0, to)) };
    match usize::try_from(start) {
        Ok(from) if from <= to => Ok((from, to)),
        Ok(from) => Err(out(format!("[{from}:{to}]"))),
        Err(_) => Err(out(format!("[{start}:]"))),
    }
}
