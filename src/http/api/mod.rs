//! The management API under `/api/v1`: JSON for shops and scripts, a file per resource.
//!
//! Every call carries a key, and the key names the store. Instants are RFC 3339 in UTC, money is
//! `{"amount","currency"}`, ids are strings; lists are paged by cursor; errors are problems (RFC 9457).

mod at_risk;
mod customers;
mod messages;
mod page;
pub mod problem;
mod rules;
mod segments;
mod settings;
mod suppressions;
mod templates;

use actix_web::{HttpRequest, Resource, web};

use super::App;
use super::auth::ApiKey;
use crate::db::Conn;
use crate::stores::{self, Store};
use problem::Problem;

/// The API's URLs.
pub fn routes(config: &mut web::ServiceConfig) {
    let api = web::scope("/api/v1")
        .app_data(web::QueryConfig::default().error_handler(|error, _| {
            Problem::bad_request(format!("the query string cannot be read: {error}")).into()
        }))
        .app_data(web::JsonConfig::default().limit(64 * 1024).error_handler(|error, _| {
            Problem::bad_request(format!("the body cannot be read: {error}")).into()
        }))
        .app_data(
            web::PathConfig::default()
                .error_handler(|_, request| Problem::no_such_path(request.path()).into()),
        )
        .app_data(web::Data::new(templates::Names::default()))
        .service(at("/at-risk", GET).get(at_risk::list))
        .service(at("/segments", GET).get(segments::show))
        .service(at("/customers", GET).get(customers::list))
        .service(at("/customers/{id}", GET).get(customers::show))
        .service(at("/customers/{id}/timeline", GET).get(customers::timeline))
        .service(at("/customers/{id}/decisions", GET).get(customers::decisions))
        .service(at("/customers/{id}/erase", "POST").post(customers::erase))
        .service(at("/rules", GET).get(rules::list))
        .service(at("/rules/{key}", GET).get(rules::show))
        .service(at("/messages", GET).get(messages::list))
        .service(at("/messages/{id}", GET).get(messages::show))
        .service(at("/suppressions", GET_POST).get(suppressions::list).post(suppressions::add))
        .service(at("/settings", GET).get(settings::show))
        .service(at("/templates", GET).get(templates::list))
        .default_service(web::to(nothing_here));
    config.service(api);
}

const GET: &str = "GET";
const GET_POST: &str = "GET, POST";

/// A path, and the methods it names when another is used.
fn at(path: &str, allow: &'static str) -> Resource {
    let refuse = move || async move { Err::<&str, _>(Problem::wrong_method(allow)) };
    web::resource(path).default_service(web::to(refuse))
}

async fn nothing_here(request: HttpRequest) -> Result<&'static str, Problem> {
    Err(Problem::no_such_path(&page::shown(request.path())))
}

/// Reads with the store of the caller's key.
async fn read<T: Send + 'static>(
    app: &App,
    key: &ApiKey,
    f: impl FnOnce(&mut Conn, &Store) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let id = key.store;
    app.db
        .read(move |conn| {
            let store = stores::store::find(conn, id)?;
            f(conn, &store)
        })
        .await
}
