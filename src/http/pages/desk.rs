//! Who is signed in, and all that a page of theirs needs: the store, its figures' format, the shell.

use actix_session::{Session, SessionExt};
use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use futures::future::LocalBoxFuture;
use serde::{Deserialize, Serialize};

use super::catalogue::Lang;
use super::error::PageError;
use super::format::Format;
use super::render::Screen;
use super::shell::{self, Counts, Room, Said, Shell};
use super::{Pages, csrf};
use crate::db::{Conn, DbError};
use crate::http::App;
use crate::primitives::{Delay, Timestamp, UserId};
use crate::reports::alarms::{self, Alarms};
use crate::stores::{self, Store};
use crate::users::{self, User};

const SIGNED_IN: &str = "who";
const SAID: &str = "said";
pub const LANG_COOKIE: &str = "homing_lang";
pub const THEME_COOKIE: &str = "homing_theme";

/// Hands off the keys for this long: signed out.
const IDLE: Delay = Delay::hours(12);
/// However busy: sign in again after this.
const ABSOLUTE: Delay = Delay::days(7);
/// How stale `seen` may grow, so that not every page sets the cookie again.
const SEEN_EVERY: Delay = Delay::seconds(300);

/// What the session's cookie says; encrypted, and worth nothing once password or times say otherwise.
#[derive(Serialize, Deserialize)]
struct SignedIn {
    user: i64,
    /// Of the password: a new one ends every session.
    mark: String,
    since: Timestamp,
    seen: Timestamp,
}

pub struct Desk {
    pub user: User,
    pub store: Store,
    pub format: Format,
    pub alarms: Alarms,
    pub now: Timestamp,
    pub app: web::Data<App>,
    pub pages: web::Data<Pages>,
    session: Session,
    here: String,
    theme: String,
    smtp: bool,
}

impl Desk {
    pub fn act(&self) -> Result<(), PageError> {
        if self.user.role.may_act() { Ok(()) } else { Err(PageError::MayNotAct) }
    }

    /// Runs a read for the page.
    pub async fn read<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Conn) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, PageError> {
        Ok(self.app.db.read(f).await?)
    }

    pub fn page<S: Screen>(&self, room: Room, page: &S) -> Result<HttpResponse, PageError> {
        let html =
            self.pages.templates.render(self.format.lang(), &self.shell(Some(room)), page)?;
        Ok(HttpResponse::Ok().content_type("text/html; charset=utf-8").body(html))
    }

    /// Goes on to `path`, where `text` is said once.
    pub fn go(&self, path: &str, tone: &'static str, text: String) -> HttpResponse {
        let _ = self.session.insert(SAID, (tone, text));
        HttpResponse::SeeOther().insert_header((header::LOCATION, path.to_owned())).finish()
    }

    /// The alarms that ring for this store; Today lists them, the navigation counts them.
    pub fn ringing(&self) -> Vec<alarms::Alarm> {
        self.alarms.ringing(&self.store, self.smtp)
    }

    pub fn shell(&self, room: Option<Room>) -> Shell {
        let words = &self.format.words;
        let counts = Counts {
            alarms: self.ringing().len(),
            at_risk: self.format.capped(self.alarms.at_risk, crate::reports::CAP),
            in_doubt: self.alarms.in_doubt,
        };
        let said = self.session.remove_as::<(String, String)>(SAID).and_then(Result::ok);
        Shell {
            lang: words.lang.code(),
            theme: self.theme.clone(),
            store: self.store.name.clone(),
            who: self.user.email.clone(),
            role: words.text(&format!("role.{}", self.user.role), &[]),
            may_act: self.user.role.may_act(),
            csrf: csrf::token(&self.session),
            here: self.here.clone(),
            version: self.pages.statics.version.clone(),
            rooms: shell::rooms(words, room, &counts),
            said: said.map(|(tone, text)| Said {
                tone: if tone == "good" { "good" } else { "warn" },
                text,
            }),
        }
    }
}

/// Language and look of whoever asks, signed in or not.
pub fn reader(pages: &Pages, request: &HttpRequest) -> (Lang, Shell) {
    let cookie = |name| request.cookie(name).map(|c| c.value().to_owned());
    let lang = cookie(LANG_COOKIE)
        .and_then(|code| Lang::from_code(&code))
        .or_else(|| {
            let accepts = request.headers().get(header::ACCEPT_LANGUAGE)?.to_str().ok()?;
            Lang::from_accept(accepts)
        })
        .unwrap_or(Lang::En);
    let theme = cookie(THEME_COOKIE).filter(|t| t == "light" || t == "dark").unwrap_or_default();
    let shell = Shell {
        lang: lang.code(),
        theme,
        // A form's address is no place to come back to.
        here: if request.method() == actix_web::http::Method::GET {
            local_path(&request.uri().to_string())
        } else {
            "/".to_owned()
        },
        version: pages.statics.version.clone(),
        ..Shell::default()
    };
    (lang, shell)
}

/// A path on this console, or `/`: nobody is sent elsewhere by a link that someone else made.
pub fn local_path(raw: &str) -> String {
    let is_local = raw.starts_with('/')
        && !raw.starts_with("//")
        && raw.len() <= 1_000
        && !raw.contains('\\')
        && !raw.chars().any(char::is_control)
        && !raw.starts_with("/sign-");
    if is_local { raw.to_owned() } else { "/".to_owned() }
}

/// Puts someone at the desk: a new session, a new token, whatever the cookie held before.
pub fn sign_in(session: &Session, user: &User, now: Timestamp) -> Result<(), PageError> {
    session.clear();
    session.renew();
    csrf::renew(session);
    let state =
        SignedIn { user: user.id.0, mark: user.password.mark().to_owned(), since: now, seen: now };
    session
        .insert(SIGNED_IN, state)
        .map_err(|_| PageError::Other(actix_web::http::StatusCode::INTERNAL_SERVER_ERROR))
}

impl FromRequest for Desk {
    type Error = PageError;
    type Future = LocalBoxFuture<'static, Result<Self, PageError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let signed_out = || PageError::SignedOut {
                next: if request.method() == actix_web::http::Method::GET {
                    local_path(&request.uri().to_string())
                } else {
                    "/".to_owned()
                },
            };
            let app = request.app_data::<web::Data<App>>().cloned().ok_or(PageError::NotFound)?;
            let pages =
                request.app_data::<web::Data<Pages>>().cloned().ok_or(PageError::NotFound)?;
            let session = request.get_session();
            let now = app.clock.now();

            let state = session.get::<SignedIn>(SIGNED_IN).ok().flatten().ok_or_else(signed_out)?;
            if now > state.seen.plus(IDLE) || now > state.since.plus(ABSOLUTE) {
                session.purge();
                return Err(signed_out());
            }
            let id = UserId(state.user);
            let found = app
                .db
                .read(move |conn| {
                    let Some(user) = users::store::find(conn, id)? else { return Ok(None) };
                    let store = stores::store::find(conn, user.store)?;
                    let alarms = alarms::load(conn, &store, now)?;
                    Ok::<_, DbError>(Some((user, store, alarms)))
                })
                .await?;
            let Some((user, store, alarms)) =
                found.filter(|(user, ..)| user.password.mark() == state.mark)
            else {
                session.purge();
                return Err(signed_out());
            };
            if now > state.seen.plus(SEEN_EVERY) {
                let _ = session.insert(SIGNED_IN, SignedIn { seen: now, ..state });
            }
            let (lang, shell) = reader(&pages, &request);
            let format = Format {
                words: pages.templates.words(lang),
                zone: store.timezone.clone(),
                currency: store.currency.clone(),
                now,
            };
            Ok(Self {
                user,
                format,
                store,
                alarms,
                now,
                session,
                here: shell.here,
                theme: shell.theme,
                smtp: app.config.smtp_url.is_some(),
                app,
                pages,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_back_leads_nowhere_else() {
        for path in ["/", "/at-risk?segment=at_risk", "/customers/7"] {
            assert_eq!(local_path(path), path);
        }
        for path in
            ["//evil.example", "https://evil.example", "/\\evil.example", "", "/sign-out", "/a\nb"]
        {
            assert_eq!(local_path(path), "/", "{path}");
        }
    }
}
