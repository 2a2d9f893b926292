//! The management API under `/api/v1`: JSON for shops and scripts, a file per resource.
//!
//! Every call carries a key, and the key names the store. Instants are RFC 3339 in UTC, money is
//! `{"amount","currency"}`, ids are strings; lists are paged by cursor; errors are problems (RFC 9457).

mod at_risk;
mod audience;
mod backtest;
mod behind;
mod customers;
mod effects;
mod messages;
pub mod openapi;
mod page;
pub mod problem;
mod products;
mod reports;
mod rules;
mod segments;
mod settings;
mod shadow;
mod suppressions;
mod templates;

use actix_web::{HttpRequest, Resource, web};

use super::App;
use super::auth::ApiKey;
use crate::db::Conn;
use crate::stores::{self, Store};
use problem::Problem;

/// A path below `/api/v1`, the methods it names when another is used, and what answers them.
type Route = (&'static str, &'static str, fn(Resource) -> Resource);

const RESOURCES: &[Route] = &[
    ("/at-risk", GET, |at| at.get(at_risk::list)),
    ("/segments", GET, |at| at.get(segments::show)),
    ("/segments/movements", GET, |at| at.get(segments::movements)),
    ("/reports/rules", GET, |at| at.get(effects::report)),
    ("/reports/rules/{key}/orders", GET, |at| at.get(behind::orders)),
    ("/reports/rules/{key}/customers", GET, |at| at.get(behind::customers)),
    ("/reports/rules/{key}/shadow", GET, |at| at.get(shadow::show)),
    ("/reports/calibration", GET, |at| at.get(reports::calibration)),
    ("/products/rhythm", GET, |at| at.get(products::rhythm)),
    ("/customers", GET, |at| at.get(customers::list)),
    ("/customers/{id}", GET, |at| at.get(customers::show)),
    ("/customers/{id}/timeline", GET, |at| at.get(customers::timeline)),
    ("/customers/{id}/decisions", GET, |at| at.get(customers::decisions)),
    ("/customers/{id}/erase", "POST", |at| at.post(customers::erase)),
    ("/audience/count", "POST", |at| at.post(audience::count)),
    ("/rules", GET, |at| at.get(rules::list)),
    ("/rules/{key}", GET_PUT_DELETE, |at| {
        at.get(rules::show).put(rules::put).delete(rules::retire)
    }),
    ("/rules/{key}/backtest", "POST", |at| at.post(backtest::run)),
    ("/rules/{key}/move", "POST", |at| at.post(rules::move_on)),
    ("/rules/{key}/versions", GET, |at| at.get(rules::versions)),
    ("/messages", GET, |at| at.get(messages::list)),
    ("/messages/{id}", GET, |at| at.get(messages::show)),
    ("/messages/{id}/events", GET, |at| at.get(messages::events)),
    ("/suppressions", GET_POST, |at| at.get(suppressions::list).post(suppressions::add)),
    ("/settings", GET, |at| at.get(settings::show)),
    ("/templates", GET, |at| at.get(templates::list)),
];

const GET: &str = "GET, HEAD";
const GET_PUT_DELETE: &str = "GET, HEAD, PUT, DELETE";
const GET_POST: &str = "GET, HEAD, POST";

/// The API's URLs. A path added here is described in `openapi.json` too: a test asks for it.
pub fn routes(config: &mut web::ServiceConfig) {
    let mut api = web::scope("/api/v1")
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
        .app_data(web::Data::new(templates::Names::default()));
    for &(path, allow, answer) in RESOURCES {
        let refuse = move || async move { Err::<&str, _>(Problem::wrong_method(allow)) };
        api = api.service(answer(web::resource(path).default_service(web::to(refuse))));
    }
    config
        .route("/api/openapi.json", web::get().to(openapi::show))
        .service(api.default_service(web::to(nothing_here)));
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
