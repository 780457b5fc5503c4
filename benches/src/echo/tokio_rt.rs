//! Bare tokio: a current-thread runtime, a task for each connection.
//!
//! As lean as tokio allows: buffers are shared by all tasks of the runtime and used within one
//! poll, and reading goes through `poll_read`, which knows that a read that did not fill its
//! buffer has emptied the socket. (`readable` and `try_read` would read a second time, in vain,
//! for each request.)

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::{Canned, READ_BYTES, Session};

/// What the tasks of a runtime share.
struct Shared {
    input: Box<[u8]>,
    output: Vec<u8>,
}

thread_local! {
    /// The runtime's own thread is the only one that polls its tasks.
    static SHARED: RefCell<Shared> = RefCell::new(Shared {
        input: vec![0; READ_BYTES].into(),
        output: Vec::with_capacity(READ_BYTES),
    });
}

/// Serves one listener for ever.
///
/// # Errors
/// When the runtime cannot be made or the listener is broken.
pub fn serve(listener: TcpListener, canned: &Canned) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let canned = Arc::new(canned.clone());
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(connection(stream, Arc::clone(&canned)));
        }
    })
}

async fn connection(mut stream: TcpStream, canned: Arc<Canned>) {
    let mut session = Session::default();
    let whole = poll_fn(|cx| {
        SHARED.with_borrow_mut(|shared| turns(&mut stream, &mut session, &canned, shared, cx))
    });
    // An error is the end of this connection, and nobody's business else.
    let _ = whole.await;
}

/// Turns until the socket is empty or full. Ready when the connection is over.
fn turns(
    stream: &mut TcpStream,
    session: &mut Session,
    canned: &Canned,
    shared: &mut Shared,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    loop {
        while !session.unsent.is_empty() {
            let sent = ready!(Pin::new(&mut *stream).poll_write(cx, &session.unsent))?;
            session.unsent.drain(..sent);
        }
        let mut room = ReadBuf::new(&mut shared.input);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut room))?;
        if room.filled().is_empty() {
            return Poll::Ready(Ok(()));
        }
        shared.output.clear();
        session.feed(canned, room.filled(), &mut shared.output);
        let sent = match Pin::new(&mut *stream).poll_write(cx, &shared.output) {
            Poll::Ready(sent) => sent?,
            Poll::Pending => 0,
        };
        session.unsent.extend_from_slice(&shared.output[sent..]);
    }
}
