//! `/clients`: who is connected, in JSON, those first that hold most memory.

use std::fmt::{self, Write};

use crate::clients::{Client, Text};
use crate::observe::few::Escaped;
use crate::observe::snapshot::ClientList;

/// Writes one section; false if there is none of that number.
pub fn write(list: &ClientList, section: usize, out: &mut String) -> Result<bool, fmt::Error> {
    if section == 0 {
        write!(out, "{{\"connected\":{},\"clients\":[", list.count)?;
    } else if let Some(client) = list.clients.get(section - 1) {
        out.push_str(if section > 1 { ",\n" } else { "\n" });
        one(client, list.age_seconds(client), out)?;
    } else if section == list.clients.len() + 1 {
        out.push_str("]}\n");
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn one(client: &Client, age: u64, out: &mut String) -> fmt::Result {
    let standing = &client.standing;
    let (id, peer, local) = (client.id(), client.peer(), client.local());
    write!(
        out,
        "{{\"id\":{id},\"address\":\"{peer}\",\"came_in_at\":\"{local}\""
    )?;
    let protocol = match standing.version {
        0 => "native or memcached",
        2 => "resp2",
        _ => "resp3",
    };
    let idle = client.idle_seconds;
    write!(
        out,
        ",\"protocol\":\"{protocol}\",\"age_s\":{age},\"idle_s\":{idle},\"held_bytes\":{}",
        client.held_bytes
    )?;
    let (last, database) = (standing.kind_name(), standing.database);
    let subscribed = standing.subscribed > 0;
    write!(
        out,
        ",\"last\":\"{last}\",\"database\":{database},\"subscribed\":{subscribed}"
    )?;
    for (name, text) in [
        ("name", Text::Name),
        ("library", Text::LibName),
        ("library_version", Text::LibVer),
        ("user", Text::User),
    ] {
        let text = client.text(text);
        if !text.is_empty() {
            write!(out, ",\"{name}\":\"{}\"", Escaped(text))?;
        }
    }
    out.push('}');
    Ok(())
}
