//! Which path is which page, and how a page is written while it is sent.

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName,
    HeaderValue, ORIGIN, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::service::Service;
use hyper::{Method, Request, Response, StatusCode};

use super::{Told, authorization, clients, host, hot_keys, json, prometheus, sizes, slow};
use crate::auth::users::Logins;
use crate::observe::curve::CurveFigures;
use crate::observe::liveness::Liveness;
use crate::observe::snapshot::{Asked, ClientList, Snapshot, SnapshotTaker};
use crate::observe::stores::AllStored;
use crate::server::stage::Stage;

/// The page to look at: markup, style and script in one file, and nothing from elsewhere.
const PAGE: &str = include_str!("page.html");

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
/// What a scraper recognises the format by.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page may run its own script, ask its own server, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// How far a start is, by the parts of the arena that are restored: one for each shard.
const PROGRESS: [&str; 17] = [
    "starting\n",
    "starting: 6 % restored\n",
    "starting: 12 % restored\n",
    "starting: 18 % restored\n",
    "starting: 25 % restored\n",
    "starting: 31 % restored\n",
    "starting: 37 % restored\n",
    "starting: 43 % restored\n",
    "starting: 50 % restored\n",
    "starting: 56 % restored\n",
    "starting: 62 % restored\n",
    "starting: 68 % restored\n",
    "starting: 75 % restored\n",
    "starting: 81 % restored\n",
    "starting: 87 % restored\n",
    "starting: 93 % restored\n",
    "starting: 99 % restored\n",
];

/// Who is answered.
#[derive(Clone, Copy)]
pub struct Rules<'r> {
    /// Hosts that are served beside those that always are.
    pub hosts: &'r [String],
    /// They know the tokens that the pages want to see, if any.
    pub logins: &'r Logins,
}

/// Everything that can be asked.
pub struct Pages<'p> {
    /// What there is to say.
    pub told: Told<'p>,
    /// Who is answered.
    pub rules: Rules<'p>,
}

/// Whether a page is being sent to a connection.
#[derive(Clone, Default)]
pub struct Sending(Rc<Cell<bool>>);

impl Sending {
    /// Whether it is.
    pub fn is_set(&self) -> bool {
        self.0.get()
    }
}

/// One connection's view of the pages.
pub struct Visitor<'p> {
    pub pages: &'p Pages<'p>,
    pub sending: Sending,
}

impl Service<Request<Incoming>> for Visitor<'_> {
    type Response = Response<Sent>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let path = request.uri().path();
        let is_probe = matches!(path, "/livez" | "/readyz");
        let answer = if is_probe {
            self.pages.answer(request.method(), path)
        } else if !self.pages.serves(&request) {
            words(
                StatusCode::FORBIDDEN,
                "this host is not served here: name it with --admin-host, or ask by address\n",
            )
        } else if !self.pages.are_for(&request) {
            let mut response = words(
                StatusCode::UNAUTHORIZED,
                "a token of --admin-token-file is wanted: as a bearer token, or as the password\n",
            );
            let challenge = HeaderValue::from_static(authorization::CHALLENGE);
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            response
        } else if request.method() == Method::POST && path == "/snapshot" {
            self.pages.consequence(&request, snapshot)
        } else if request.method() == Method::POST && path == "/clients/kill" {
            self.pages.kill(&request)
        } else {
            self.pages.answer(request.method(), path)
        };
        self.sending.0.set(true);
        ready(Ok(answer.map(|page| Sent {
            page,
            sending: self.sending.clone(),
        })))
    }
}

/// A page that says when it has been handed over.
pub struct Sent {
    page: Page,
    sending: Sending,
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.sending.0.set(false);
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = fmt::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, fmt::Error>>> {
        Pin::new(&mut self.page).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.page.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.page.size_hint()
    }
}

impl Pages<'_> {
    /// Whether the host that the request names is served.
    fn serves(&self, request: &Request<Incoming>) -> bool {
        let mut named = request.headers().get_all(HOST).iter();
        let is_served = |host: &str| host::is_served(host, self.rules.hosts);
        request.uri().host().is_none_or(is_served)
            && named.all(|host| host.to_str().is_ok_and(is_served))
    }

    /// Whether the request presents a token, or needs none.
    fn are_for(&self, request: &Request<Incoming>) -> bool {
        let header = request.headers().get(AUTHORIZATION);
        authorization::token(header.map(HeaderValue::as_bytes), |token| {
            self.rules.logins.let_see_pages(token)
        })
    }

    /// `?id=` says whose connection is to be closed. Where clients have to log in, whoever asks that presents a token.
    fn kill(&self, request: &Request<Incoming>) -> Response<Page> {
        let id = request.uri().query().and_then(|query| {
            let digits = query.strip_prefix("id=")?;
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            let id = digits.parse().ok().filter(|_| is_number)?;
            (id > 0).then_some(id)
        });
        let Some(id) = id else {
            return words(
                StatusCode::BAD_REQUEST,
                "say whose connection is to be closed: ?id=7, of /clients\n",
            );
        };
        if self.rules.logins.pages_are_open() && !self.rules.logins.is_empty() {
            return words(
                StatusCode::FORBIDDEN,
                "where clients log in, this wants a token: --admin-token-file\n",
            );
        }
        self.consequence(request, |snapshots| match snapshots.kill(id) {
            true => words(StatusCode::ACCEPTED, "its connection is being closed\n"),
            false => words(StatusCode::NOT_FOUND, "nobody is called by that id\n"),
        })
    }

    /// A request that has a consequence.
    fn consequence(
        &self,
        request: &Request<Incoming>,
        carry_out: impl FnOnce(&SnapshotTaker<'_>) -> Response<Page>,
    ) -> Response<Page> {
        // A page of somebody else's can have a browser send this here, and then says where it comes from.
        if request.headers().contains_key(ORIGIN) {
            return words(StatusCode::FORBIDDEN, "this is not for browsers\n");
        }
        let Told::Snapshots(snapshots) = self.told else {
            return words(StatusCode::SERVICE_UNAVAILABLE, "starting\n");
        };
        carry_out(snapshots)
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Page> {
        if method != Method::GET && method != Method::HEAD {
            let mut response = words(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD work\n");
            let allow = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, allow);
            return response;
        }
        let snapshots = match self.told {
            Told::Snapshots(snapshots) => snapshots,
            // It lives; killing it would make it start again.
            Told::Starting(_) if path == "/livez" => return words(StatusCode::OK, "starting\n"),
            Told::Starting(progress) => {
                let far = progress.load(Relaxed).min(PROGRESS.len() - 1);
                return words(StatusCode::SERVICE_UNAVAILABLE, PROGRESS[far]);
            }
        };
        match path {
            "/" => page(StatusCode::OK, HTML, Page::whole(PAGE)),
            "/livez" => livez(snapshots),
            "/readyz" => readyz(snapshots),
            "/metrics" => {
                let sections = Sections::Prometheus(snapshots.take());
                page(StatusCode::OK, PROMETHEUS, Page::Sections(sections, 0))
            }
            "/stats" => {
                let sections = Sections::Json(snapshots.take());
                page(StatusCode::OK, JSON, Page::Sections(sections, 0))
            }
            "/slow" => {
                let sections = Sections::Slow(slow::Slow {
                    list: snapshots.slow(),
                    tells_keys: !self.rules.logins.pages_are_open(),
                });
                page(StatusCode::OK, JSON, Page::Sections(sections, 0))
            }
            "/clients" => {
                let sections = Sections::Clients(snapshots.clients());
                page(StatusCode::OK, JSON, Page::Sections(sections, 0))
            }
            "/hotkeys" => {
                let sections = Sections::HotKeys(hot_keys::HotKeys {
                    list: snapshots.hot_keys(),
                    tells_keys: !self.rules.logins.pages_are_open(),
                });
                page(StatusCode::OK, JSON, Page::Sections(sections, 0))
            }
            "/curve" => {
                let sections = Sections::Curve(snapshots.curve().map(Rc::new));
                page(StatusCode::OK, JSON, Page::Sections(sections, 0))
            }
            "/sizes" => {
                let sections = Sections::Sizes(Box::new(snapshots.stored()));
                page(StatusCode::OK, JSON, Page::Sections(sections, 0))
            }
            _ => words(
                StatusCode::NOT_FOUND,
                "there are /, /metrics, /stats, /slow, /clients, /hotkeys, /curve, /sizes, /livez and /readyz\n",
            ),
        }
    }
}

fn snapshot(snapshots: &SnapshotTaker<'_>) -> Response<Page> {
    match snapshots.ask_for_file() {
        Asked::Begun => words(StatusCode::ACCEPTED, "a snapshot is being written\n"),
        Asked::Busy => words(StatusCode::CONFLICT, "one is being written already\n"),
        Asked::Nowhere => words(
            StatusCode::CONFLICT,
            "there is no place for one (--snapshot PATH), or the server leaves\n",
        ),
    }
}

/// False only when restarting would help: a thread is stuck.
fn livez(snapshots: &SnapshotTaker<'_>) -> Response<Page> {
    match snapshots.liveness() {
        (_, Liveness::Stuck) => words(
            StatusCode::SERVICE_UNAVAILABLE,
            "a thread is stuck: it shows no sign of life and does not work\n",
        ),
        (_, Liveness::Busy) => words(StatusCode::OK, "ok, with a thread that is busy\n"),
        (_, Liveness::Alive) => words(StatusCode::OK, "ok\n"),
    }
}

fn readyz(snapshots: &SnapshotTaker<'_>) -> Response<Page> {
    match snapshots.liveness() {
        (Stage::Starting, _) => words(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        (Stage::Leaving, _) => words(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        (Stage::Ready, Liveness::Alive) => words(StatusCode::OK, "ready\n"),
        (Stage::Ready, _) => words(StatusCode::SERVICE_UNAVAILABLE, "stuck\n"),
    }
}

fn words(status: StatusCode, words: &'static str) -> Response<Page> {
    page(status, TEXT, Page::whole(words))
}

fn page(status: StatusCode, content_type: &'static str, page: Page) -> Response<Page> {
    let mut response = Response::new(page);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let set: [(HeaderName, &'static str); 5] = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (CONTENT_SECURITY_POLICY, POLICY),
    ];
    for (name, value) in set {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The body of an answer.
pub enum Page {
    /// Text of the binary, not copied; `None` when it is sent.
    Whole(Option<&'static str>),
    /// Written while it is sent; the number is that of the next section.
    Sections(Sections, usize),
}

/// A page that is written section by section, so that no more than one is in memory. Each is
/// a few kilobytes at most.
pub enum Sections {
    /// For a scraper.
    Prometheus(Rc<Snapshot>),
    /// For the page.
    Json(Rc<Snapshot>),
    /// The last requests that took long.
    Slow(slow::Slow),
    /// The clients that hold most.
    Clients(ClientList),
    /// The keys that are asked for most.
    HotKeys(hot_keys::HotKeys),
    /// What the hit ratio would be with less memory, and more.
    Curve(Option<Rc<CurveFigures>>),
    /// How long values were that were stored.
    Sizes(Box<AllStored>),
}

/// Short sections are sent together until there is so much.
const CHUNK_BYTES: usize = 2 << 10;

impl Page {
    fn whole(text: &'static str) -> Self {
        Page::Whole(Some(text))
    }
}

impl Sections {
    /// Writes one section; false if there is none of that number.
    fn write(&self, section: usize, out: &mut String) -> Result<bool, fmt::Error> {
        match self {
            Sections::Prometheus(snapshot) => prometheus::write(snapshot, section, out),
            Sections::Json(snapshot) => json::write(snapshot, section, out),
            Sections::Clients(list) => clients::write(list, section, out),
            Sections::HotKeys(list) => hot_keys::write(list, section, out),
            Sections::Slow(list) => slow::write(list, section, out),
            Sections::Curve(figures) if section == 0 => {
                json::curve(figures.as_deref(), out)?;
                out.push('\n');
                Ok(true)
            }
            Sections::Sizes(all) if section == 0 => {
                sizes::write(&**all, out)?;
                out.push('\n');
                Ok(true)
            }
            Sections::Curve(_) | Sections::Sizes(_) => Ok(false),
        }
    }
}

impl Body for Page {
    type Data = Bytes;
    type Error = fmt::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, fmt::Error>>> {
        let bytes = match &mut *self {
            Page::Whole(text) => match text.take() {
                Some(text) => Bytes::from_static(text.as_bytes()),
                None => return Poll::Ready(None),
            },
            Page::Sections(sections, next) => {
                let mut chunk = String::with_capacity(2 * CHUNK_BYTES);
                while chunk.len() < CHUNK_BYTES && sections.write(*next, &mut chunk)? {
                    *next += 1;
                }
                if chunk.is_empty() {
                    return Poll::Ready(None);
                }
                Bytes::from(chunk)
            }
        };
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Page::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Page::Whole(text) => SizeHint::with_exact(text.map_or(0, |text| text.len() as u64)),
            Page::Sections(..) => SizeHint::default(),
        }
    }
}
