//! The terminal that `flagstone top` draws on: how large it is, which key was pressed, and lines that fit.
//!
//! Keys come one at a time and are not echoed, and what was on the screen is there again afterwards: all of that is three escape
//! codes and two system calls, and a library for terminals would weigh more than all the rest.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};

/// Where a terminal does not say how large it is.
const USUAL: (usize, usize) = (80, 24);
/// Ctrl-C and Ctrl-D, which are keys like any other here.
const INTERRUPT: u8 = 3;
const END: u8 = 4;

/// What whoever looks on wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// `q`, Ctrl-C, Ctrl-D; or the terminal is gone.
    Leave,
    /// `h`: the hot keys, or what was there before.
    Switch,
    /// To look on.
    Nothing,
}

/// How a word stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// As all others.
    Plain,
    /// The first of its section.
    Head,
    /// Something is wrong.
    Bad,
    /// Something may be soon.
    Odd,
}

impl Look {
    fn codes(self) -> (&'static str, &'static str) {
        match self {
            Look::Plain => ("", ""),
            Look::Head => ("\x1b[1m", "\x1b[0m"),
            Look::Bad => ("\x1b[1;31m", "\x1b[0m"),
            Look::Odd => ("\x1b[33m", "\x1b[0m"),
        }
    }
}

/// A line of words, each with its look.
#[derive(Clone, Debug, Default)]
pub struct Line(Vec<(Look, String)>);

impl Line {
    /// One word, or several that look alike.
    pub fn of(look: Look, text: impl Into<String>) -> Self {
        Line(vec![(look, text.into())])
    }

    /// With more behind it.
    pub fn and(mut self, look: Look, text: impl Into<String>) -> Self {
        self.0.push((look, text.into()));
        self
    }

    /// How many columns it takes.
    pub fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.chars().count()).sum()
    }

    /// Its first columns, with escape codes where they are wanted.
    fn write(&self, columns: usize, colours: bool, out: &mut String) {
        let mut left = columns;
        for (look, text) in &self.0 {
            let shown: String = text.chars().take(left).collect();
            left -= shown.chars().count();
            let (on, off) = if colours { look.codes() } else { ("", "") };
            *out += on;
            *out += &shown;
            *out += off;
        }
    }
}

/// Lines, a newline behind each, cut to so many columns.
pub fn text(lines: &[Line], columns: usize, colours: bool) -> String {
    let mut out = String::new();
    for line in lines {
        line.write(columns, colours, &mut out);
        out.push('\n');
    }
    out
}

/// A terminal, as it was before when this is dropped.
pub struct Screen {
    /// `None`: keys do not come from a terminal, and none is read.
    before: Option<Termios>,
}

impl Screen {
    /// Takes the terminal over.
    pub fn open(out: &mut impl Write) -> io::Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin).ok();
        if let Some(before) = &before {
            let mut keys = before.clone();
            keys.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
            keys.special_codes[SpecialCodeIndex::VMIN] = 0;
            keys.special_codes[SpecialCodeIndex::VTIME] = 0;
            tcsetattr(&stdin, OptionalActions::Now, &keys)?;
        }
        // Another page, and no cursor.
        write!(out, "\x1b[?1049h\x1b[?25l\x1b[H")?;
        Ok(Screen { before })
    }

    /// Columns and rows, as the window is now.
    pub fn size() -> (usize, usize) {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                (usize::from(size.ws_col), usize::from(size.ws_row))
            }
            _ => USUAL,
        }
    }

    /// Draws these lines from the top, and nothing of what was there before.
    pub fn draw(lines: &[Line], out: &mut impl Write) -> io::Result<()> {
        let (columns, rows) = Self::size();
        let lines = &lines[..lines.len().min(rows)];
        let text = text(lines, columns, true);
        // Home, each line to its end, and what is left of the last screen: nothing flickers. No newline behind the last row,
        // which would scroll.
        let text = text.trim_end_matches('\n').replace('\n', "\x1b[K\r\n");
        write!(out, "\x1b[H{text}\x1b[K\x1b[J")?;
        out.flush()
    }

    /// Waits for a key that means something, but not for longer than that.
    pub fn wait(&self, patience: Duration) -> Wish {
        if self.before.is_none() {
            std::thread::sleep(patience);
            return Wish::Nothing;
        }
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).ok();
            let stdin = io::stdin();
            let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
            // A window that changes its size interrupts, and is drawn anew at once.
            if !poll(&mut polled, left.as_ref()).is_ok_and(|count| count > 0) {
                return Wish::Nothing;
            }
            let mut keys = [0; 16];
            match rustix::io::read(&stdin, &mut keys) {
                // The terminal is gone.
                Ok(0) | Err(_) => return Wish::Leave,
                Ok(count) => match wish_of(&keys[..count]) {
                    Wish::Nothing => {}
                    wish => return wish,
                },
            }
        }
    }
}

/// What these keys mean together: `h` twice is as before.
fn wish_of(keys: &[u8]) -> Wish {
    if keys
        .iter()
        .any(|key| matches!(*key, b'q' | b'Q' | INTERRUPT | END))
    {
        return Wish::Leave;
    }
    let switches = keys.iter().filter(|key| matches!(**key, b'h' | b'H'));
    match switches.count() % 2 {
        0 => Wish::Nothing,
        _ => Wish::Switch,
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let mut out = io::stdout();
        let _ = write!(out, "\x1b[?25h\x1b[?1049l").and_then(|()| out.flush());
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_meanings() {
        for (keys, wish) in [
            (&b"q"[..], Wish::Leave),
            (b"hQ", Wish::Leave),
            (&[INTERRUPT], Wish::Leave),
            (b"h", Wish::Switch),
            (b"xH", Wish::Switch),
            (b"hh", Wish::Nothing),
            (b"\x1b[A", Wish::Nothing),
        ] {
            assert_eq!(wish_of(keys), wish, "{keys:?}");
        }
    }

    #[test]
    fn lines_are_cut_to_the_columns_that_are_seen() {
        let line = Line::of(Look::Bad, "äöü").and(Look::Plain, " and more");
        assert_eq!(text(std::slice::from_ref(&line), 6, false), "äöü an\n");
        assert_eq!(
            text(std::slice::from_ref(&line), 2, true),
            "\x1b[1;31mäö\x1b[0m\n"
        );
        assert_eq!(
            text(std::slice::from_ref(&line), 80, true),
            "\x1b[1;31mäöü\x1b[0m and more\n"
        );
    }
}
