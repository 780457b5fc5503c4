//! What is asked about clients: who they are, and that they go.

use std::fmt::{self, Write as _};

use flagstone_engine::Tick;

use crate::clients::{Client, ClientNo, Clients as Table, Place, Text};
use crate::proto::clients::{Chosen, Clients, Kind, Library};
use crate::proto::resp::encode::{Out, hello, integer};
use crate::proto::resp::{Format, Shape, words};
use crate::proto::writer::Writer;
use crate::proto::{Refusal, ReplyFormat, Words};
use crate::server::shared::Shared;

/// No row is longer: 328 bytes with two addresses of the newer kind, numbers of the greatest width, and all that a client may
/// say of itself.
pub const ROW_BYTES_MAX: usize = 384;
/// What stands before a row or a list.
const HEAD_BYTES: usize = 16;
/// A row of a long list may come to be longer by so much between the sum of all and its turn: other digits, another command.
const ROW_GROWS_BYTES: usize = 20;

/// A client may not be called that.
pub const LONG_NAME: Refusal = Refusal::Words(words::LONG_CLIENT_NAME);

/// What became of it.
pub enum Told {
    /// The answer, so many bytes of it.
    Said(usize),
    /// The same; and the connection that asked is one of those that are to go.
    SaidLast(usize),
    /// No.
    Refused(Words),
    /// The list does not fit into the room.
    NeedsRoom,
}

/// Who asks.
#[derive(Clone, Copy)]
pub struct Asker<'f> {
    pub no: ClientNo,
    /// How it is answered.
    pub format: ReplyFormat<'f>,
    pub now: Tick,
}

/// The version of Redis' protocol in which a request is answered.
pub fn version_of(format: ReplyFormat<'_>) -> u8 {
    match format {
        ReplyFormat::Resp(Format { v3: true, .. }) => 3,
        _ => 2,
    }
}

/// Carries out what is asked about clients, and puts the answer into `room`, which has space for any short one.
pub fn run(asked: Clients<'_>, table: &Table, asker: Asker<'_>, room: &mut [u8]) -> Told {
    let v3 = version_of(asker.format) == 3;
    let mut out = Out::new(room, v3);
    let me = || table.get(asker.no, asker.now);
    let written = match asked {
        Clients::Id => out.integer(table.id(asker.no) as i64),
        Clients::Hello(name) => {
            if name.is_some_and(|name| table.set_text(asker.no, Text::Name, name).is_err()) {
                return Told::Refused(words::LONG_CLIENT_NAME);
            }
            return said(hello(v3, table.id(asker.no), room));
        }
        Clients::GetName => match me().as_ref().map(|me| me.text(Text::Name)) {
            None | Some(b"") => out.nil(),
            Some(name) => out.bulk(name),
        },
        Clients::SetName(name) => match table.set_text(asker.no, Text::Name, name) {
            Ok(()) => out.status("OK"),
            Err(_) => return Told::Refused(words::LONG_CLIENT_NAME),
        },
        Clients::SetInfo(library, name) => {
            let text = match library {
                Library::Name => Text::LibName,
                Library::Version => Text::LibVer,
            };
            match table.set_text(asker.no, text, name) {
                Ok(()) => out.status("OK"),
                Err(_) => return Told::Refused(words::LONG_CLIENT_NAME),
            }
        }
        Clients::Info => return said(list(me(), asker.now, room)),
        Clients::List(chosen) => {
            let clients = everybody(table, asker.now).map(|(_, client)| client);
            let at = ends(&chosen);
            let clients = clients.filter(|client| is_chosen(client, &chosen, at, asker.now));
            return said(list(clients, asker.now, room));
        }
        Clients::KillOne(addr) => {
            let chosen = Chosen {
                addr: Some(addr),
                ..Chosen::default()
            };
            return match kill(&chosen, table, asker) {
                (0, _) => Told::Refused(words::NO_SUCH_CLIENT),
                (_, is_me) => ended(out.status("OK").map(|()| out.len()), is_me),
            };
        }
        Clients::Kill(chosen) => {
            let (count, is_me) = kill(&chosen, table, asker);
            return ended(integer(count, room), is_me);
        }
    };
    said(written.map(|()| out.len()))
}

fn said(len: Option<usize>) -> Told {
    len.map_or(Told::NeedsRoom, Told::Said)
}

fn ended(len: Option<usize>, is_me: bool) -> Told {
    match (len, is_me) {
        (Some(len), true) => Told::SaidLast(len),
        (len, _) => said(len),
    }
}

/// The answer to a `HELLO` that was a login.
pub fn greet(
    format: ReplyFormat<'_>,
    (shared, no): (&Shared<'_>, ClientNo),
    room: &mut [u8],
) -> Option<usize> {
    match format {
        ReplyFormat::Resp(Format {
            v3,
            shape: Shape::Hello,
        }) => hello(v3, shared.clients.id(no), room),
        _ => None,
    }
}

/// A session begins anew: nobody has logged in, and it has no name.
pub fn forget(shared: &Shared<'_>, no: ClientNo) {
    shared.clients.set_user(no, b"");
    // Nothing always fits.
    let _ = shared.clients.set_text(no, Text::Name, b"");
}

/// All clients but those that were killed and whose workers have not closed them yet: who kills one and then asks for the list
/// must not find it there.
fn everybody(table: &Table, now: Tick) -> impl Iterator<Item = (ClientNo, Client)> + '_ {
    (0..table.places())
        .map(ClientNo)
        .filter(|&no| !table.cell(no).is_doomed())
        .filter_map(move |no| Some((no, table.get(no, now)?)))
}

/// Has those closed that are meant. Says how many, and whether the one that asks is among them: its end is its own worker's
/// business.
fn kill(chosen: &Chosen<'_>, table: &Table, asker: Asker<'_>) -> (i64, bool) {
    let (mut count, mut is_me) = (0, false);
    let at = ends(chosen);
    for (no, client) in everybody(table, asker.now) {
        if !is_chosen(&client, chosen, at, asker.now) || no == asker.no && chosen.skips_me {
            continue;
        }
        let goes = no == asker.no || table.doom(no, client.id());
        is_me |= no == asker.no;
        count += i64::from(goes);
    }
    (count, is_me)
}

/// The addresses that are wanted of a client's ends, read once; `Some(None)`: one that nobody can have.
type Ends = [Option<Option<Place>>; 2];

fn ends(chosen: &Chosen<'_>) -> Ends {
    [chosen.addr, chosen.laddr].map(|addr| addr.map(Place::parse))
}

fn is_chosen(client: &Client, chosen: &Chosen<'_>, at: Ends, now: Tick) -> bool {
    (chosen.ids[0] == 0 || chosen.ids.contains(&client.id()))
        && chosen.kind.is_none_or(|kind| is_of_kind(client, kind))
        && chosen.user.is_none_or(|user| client.user() == user)
        && client.age_seconds(now) >= chosen.age_seconds_least
        && at[0].is_none_or(|place| place == Some(client.peer()))
        && at[1].is_none_or(|place| place == Some(client.local()))
}

/// Whether a client is of a kind.
#[must_use]
pub fn is_of_kind(client: &Client, kind: Kind) -> bool {
    match kind {
        Kind::Normal => client.standing.subscribed == 0,
        Kind::PubSub => client.standing.subscribed > 0,
        Kind::None => false,
    }
}

/// Rows one behind the other, with their length before them. `None`: there is no room for them.
fn list(clients: impl IntoIterator<Item = Client>, now: Tick, room: &mut [u8]) -> Option<usize> {
    let (head, rows) = room.split_at_mut_checked(HEAD_BYTES)?;
    let mut len = 0;
    for client in clients {
        len += row(&client, now, &mut rows[len..])?;
        *rows.get_mut(len)? = b'\n';
        len += 1;
    }
    let mut head = Out::new(head, false);
    head.bulk_head(len)?;
    let head_len = head.len();
    room.copy_within(HEAD_BYTES..HEAD_BYTES + len, head_len);
    let end = head_len + len;
    room.get_mut(end..end + 2)?.copy_from_slice(b"\r\n");
    Some(end + 2)
}

/// What stands before so many bytes of rows.
pub fn list_head(bytes: u32, room: &mut [u8]) -> usize {
    let mut out = Out::new(room, false);
    // It is short.
    let _ = out.bulk_head(bytes as usize);
    out.len()
}

/// The most that a row of a long list takes, with the end of its line.
#[must_use]
pub fn row_bytes_most(client: &Client, now: Tick) -> usize {
    let mut room = [0; ROW_BYTES_MAX];
    row(client, now, &mut room).unwrap_or(ROW_BYTES_MAX) + ROW_GROWS_BYTES + 1
}

/// All that is told of one, without the line's end.
pub fn row(client: &Client, now: Tick, room: &mut [u8]) -> Option<usize> {
    let standing = &client.standing;
    let mut row = Row(Writer::new(room));
    write!(row, "id={}", client.id()).ok()?;
    write!(row, " addr={} laddr={}", client.peer(), client.local()).ok()?;
    row.text(" name=", client.text(Text::Name))?;
    let (age, idle) = (client.age_seconds(now), client.idle_seconds);
    let flag = if standing.subscribed > 0 { 'P' } else { 'N' };
    write!(row, " age={age} idle={idle} flags={flag}").ok()?;
    let (database, kind) = (standing.database, standing.kind_name());
    write!(row, " db={database} cmd={kind}").ok()?;
    row.text(" user=", client.user())?;
    row.text(" lib-name=", client.text(Text::LibName))?;
    row.text(" lib-ver=", client.text(Text::LibVer))?;
    write!(row, " resp={}", standing.version).ok()?;
    Some(row.0.len())
}

struct Row<'r>(Writer<'r>);

impl fmt::Write for Row<'_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.0.put(piece.as_bytes()).ok_or(fmt::Error)
    }
}

impl Row<'_> {
    /// A field of any bytes: what would end it is told as `_`.
    fn text(&mut self, name: &str, text: &[u8]) -> Option<()> {
        self.0.put(name.as_bytes())?;
        text.iter().try_for_each(|&byte| {
            let is_clean = !(byte.is_ascii_control() || byte == b' ');
            self.0.put(&[if is_clean { byte } else { b'_' }])
        })
    }
}
