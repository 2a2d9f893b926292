//! The e-commerce vocabulary (Segment's "Ecommerce Events", version 2 and the older names) as facts.

use super::EventError;
use super::json::{Fields, Json};
use crate::journal::{Body, CartChange, OrderStated, OrderStatus, ProductRef};
use crate::primitives::{Currency, InvalidMoney, Money};

const ID_CHARS: usize = 200;
const PRODUCTS: usize = 250;

/// What a `track` call says happened.
///
/// Orders and refunds are read strictly, since their sums count; behaviour is kept as far as it is sound, and an
/// event that lacks what its name promises stays as a plain event.
///
/// # Errors
/// An order or refund without its id, or with money that cannot be read or is negative.
pub fn tracked(
    event: &str,
    properties: Fields<'_>,
    channel: Option<&str>,
    store_currency: &Currency,
) -> Result<Body, EventError> {
    let body = match normal(event).as_str() {
        "order completed" | "completed order" => {
            Some(order(&properties, OrderStatus::Paid, channel, store_currency)?)
        }
        "order updated" | "updated order" => {
            let status = properties.clean("status", 40);
            let status = status.map_or(OrderStatus::Paid, |told| status_named(&told));
            Some(order(&properties, status, channel, store_currency)?)
        }
        "order cancelled" | "cancelled order" | "order canceled" | "canceled order" => {
            Some(order(&properties, OrderStatus::Cancelled, channel, store_currency)?)
        }
        "order refunded" | "refunded order" => Some(refund(&properties, store_currency)?),
        "product viewed" | "viewed product" => product_viewed(&properties, store_currency),
        "product list viewed"
        | "product list filtered"
        | "viewed product category"
        | "viewed product list"
        | "filtered product list"
        | "products searched"
        | "searched products" => Some(Body::ProductsListed {
            category: properties.first(&["category", "list_id"]).and_then(|json| json.clean(200)),
            query: properties.clean("query", 200),
        }),
        "product added" | "added product" => cart(&properties, CartChange::Added, store_currency),
        "product removed" | "removed product" => {
            cart(&properties, CartChange::Removed, store_currency)
        }
        "cart viewed" | "viewed cart" => cart(&properties, CartChange::Viewed, store_currency),
        "checkout started"
        | "started checkout"
        | "checkout step viewed"
        | "viewed checkout step"
        | "checkout step completed"
        | "completed checkout step"
        | "payment info entered" => Some(checkout(&properties, store_currency)),
        _ => None,
    };
    Ok(body.unwrap_or_else(|| Body::Tracked {
        event: event.to_owned(),
        properties: properties.into_values(|_| true),
    }))
}

/// Names are compared without regard to case, and `_` and `-` are spaces.
fn normal(event: &str) -> String {
    let words = event.split([' ', '_', '-']).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").to_lowercase()
}

fn status_named(told: &str) -> OrderStatus {
    match told.to_lowercase().as_str() {
        "cancelled" | "canceled" | "voided" | "void" => OrderStatus::Cancelled,
        "refunded" => OrderStatus::Refunded,
        "draft" => OrderStatus::Draft,
        "test" => OrderStatus::Test,
        "open" | "pending" | "unpaid" | "on-hold" | "awaiting payment" => OrderStatus::Open,
        _ => OrderStatus::Paid,
    }
}

/// Amounts of one event, in its currency.
struct Till<'a> {
    properties: &'a Fields<'a>,
    currency: Currency,
}

impl<'a> Till<'a> {
    /// # Errors
    /// A currency is named, and is none: its amounts would mean nothing.
    fn open(properties: &'a Fields<'a>, store_currency: &Currency) -> Result<Self, EventError> {
        let currency = match properties.clean("currency", 40) {
            Some(told) => {
                told.parse().map_err(|error| EventError::Money { field: "currency", error })?
            }
            None => store_currency.clone(),
        };
        Ok(Self { properties, currency })
    }

    /// Minor units; `None` where the field is absent or empty.
    fn amount(&self, field: &'static str) -> Result<Option<i64>, EventError> {
        let Some(json) = self.properties.get(field) else { return Ok(None) };
        let text = json.text().unwrap_or_else(|| json.as_str().into());
        if text.trim().is_empty() {
            return Ok(None);
        }
        let money = Money::parse(&text, &self.currency)
            .map_err(|error| EventError::Money { field, error })?;
        if money.minor < 0 {
            return Err(EventError::Negative { field, amount: money.amount() });
        }
        Ok(Some(money.minor))
    }

    /// What the buyer pays. Where `total` is missing it is put together from what the vocabulary defines: revenue
    /// and subtotal are without shipping and tax, and the lines without the order's discount, too.
    fn total(&self, lines: &[ProductRef]) -> Result<i64, EventError> {
        if let Some(total) = self.amount("total")? {
            return Ok(total);
        }
        let extras = self.amount("shipping")?.unwrap_or(0) + self.amount("tax")?.unwrap_or(0);
        for field in ["revenue", "subtotal"] {
            if let Some(amount) = self.amount(field)? {
                return Ok(amount + extras);
            }
        }
        if let Some(value) = self.amount("value")? {
            return Ok(value);
        }
        let goods = sum(lines);
        Ok((goods - self.amount("discount")?.unwrap_or(0)).max(0) + extras)
    }
}

fn order_id(properties: &Fields<'_>) -> Result<String, EventError> {
    let id = properties.first(&["order_id", "orderId"]).and_then(|json| json.text());
    let id = id.ok_or(EventError::NoOrderId)?;
    if id.chars().count() > ID_CHARS {
        return Err(EventError::IdTooLong("order_id"));
    }
    crate::primitives::clean_text(&id, ID_CHARS).ok_or(EventError::NoOrderId)
}

fn order(
    properties: &Fields<'_>,
    status: OrderStatus,
    channel: Option<&str>,
    store_currency: &Currency,
) -> Result<Body, EventError> {
    let order_id = order_id(properties)?;
    let till = Till::open(properties, store_currency)?;
    let lines = products(properties, &till.currency).unwrap_or_default();
    Ok(Body::OrderStated(OrderStated {
        order_id,
        status,
        placed_at: None,
        total: till.total(&lines)?,
        currency: till.currency,
        refunded: None,
        coupon: properties.clean("coupon", 100),
        channel: channel.map(str::to_owned),
        lines,
    }))
}

/// Neither an amount nor products: the whole order.
fn refund(properties: &Fields<'_>, store_currency: &Currency) -> Result<Body, EventError> {
    let order_id = order_id(properties)?;
    let till = Till::open(properties, store_currency)?;
    for field in ["total", "revenue", "value"] {
        if let Some(amount) = till.amount(field)? {
            return Ok(Body::OrderRefunded { order_id, amount: Some(amount) });
        }
    }
    let lines = products(properties, &till.currency).unwrap_or_default();
    if lines.is_empty() {
        return Ok(Body::OrderRefunded { order_id, amount: None });
    }
    // Some of the goods without their worth: all of the money would be a guess, and a bad one.
    if lines.iter().any(|line| line.price.is_none()) {
        return Err(EventError::UnpricedRefund);
    }
    Ok(Body::OrderRefunded { order_id, amount: Some(sum(&lines)) })
}

/// The currency that a behaviour event names, and the one its prices are read in. One that is none takes the
/// prices with it, but not the event.
fn lenient_currency(
    properties: &Fields<'_>,
    store_currency: &Currency,
) -> (Option<Currency>, Option<Currency>) {
    match properties.clean("currency", 40) {
        None => (None, Some(store_currency.clone())),
        Some(told) => {
            let told: Option<Currency> = told.parse().ok();
            (told.clone(), told)
        }
    }
}

fn product_viewed(properties: &Fields<'_>, store_currency: &Currency) -> Option<Body> {
    let (currency, priced_in) = lenient_currency(properties, store_currency);
    let product = own_product(properties, priced_in.as_ref())?;
    Some(Body::ProductViewed { product, currency })
}

/// The event's one product: its own fields, else the only entry of `products`.
fn own_product(properties: &Fields<'_>, priced_in: Option<&Currency>) -> Option<ProductRef> {
    product(properties, priced_in).or_else(|| {
        let first = *properties.get("products")?.items()?.first()?;
        product(&first.fields(), priced_in)
    })
}

fn cart(properties: &Fields<'_>, change: CartChange, store_currency: &Currency) -> Option<Body> {
    let (currency, priced_in) = lenient_currency(properties, store_currency);
    let products = match change {
        // Without its content a viewed cart says nothing, and must not empty the one we know.
        CartChange::Viewed => read_products(properties, priced_in.as_ref())?,
        _ => vec![own_product(properties, priced_in.as_ref())?],
    };
    let cart_id = properties.clean("cart_id", ID_CHARS);
    Some(Body::CartChanged { cart_id, change, products, currency })
}

fn checkout(properties: &Fields<'_>, store_currency: &Currency) -> Body {
    let (currency, priced_in) = lenient_currency(properties, store_currency);
    let value = priced_in.as_ref().and_then(|currency| {
        properties.first(&["value", "total", "revenue"]).and_then(|json| price(json, currency))
    });
    Body::CheckoutStarted {
        cart_id: properties.clean("cart_id", ID_CHARS),
        checkout_id: properties
            .first(&["checkout_id", "order_id"])
            .and_then(|json| json.clean(ID_CHARS)),
        value,
        products: read_products(properties, priced_in.as_ref()).unwrap_or_default(),
        currency,
    }
}

fn products(properties: &Fields<'_>, currency: &Currency) -> Option<Vec<ProductRef>> {
    read_products(properties, Some(currency))
}

/// The entries of `products` that name a product; `None` when there is no such list.
fn read_products(properties: &Fields<'_>, priced_in: Option<&Currency>) -> Option<Vec<ProductRef>> {
    let items = properties.get("products")?.items()?;
    let named = items.into_iter().filter_map(|item| product(&item.fields(), priced_in));
    Some(named.take(PRODUCTS).collect())
}

/// `None` where it has neither id nor sku nor name: what stands first names the product.
fn product(fields: &Fields<'_>, priced_in: Option<&Currency>) -> Option<ProductRef> {
    let id = ["product_id", "productId", "id", "sku", "name"]
        .iter()
        .find_map(|name| fields.clean(name, ID_CHARS))?;
    let quantity = fields.get("quantity").and_then(Json::number);
    Some(ProductRef {
        id,
        name: fields.clean("name", 200),
        category: fields.clean("category", 200),
        brand: fields.clean("brand", 100),
        url: fields.clean("url", 1_000),
        image_url: fields.first(&["image_url", "imageUrl"]).and_then(|url| url.clean(1_000)),
        price: fields
            .get("price")
            .zip(priced_in)
            .and_then(|(json, currency)| price(json, currency)),
        quantity: quantity.filter(|quantity| *quantity > 0.0 && *quantity <= 1e6),
    })
}

/// A price that cannot be read or is negative is no price.
fn price(json: Json<'_>, currency: &Currency) -> Option<i64> {
    let money: Result<Money, InvalidMoney> = Money::parse(&json.text()?, currency);
    money.ok().map(|money| money.minor).filter(|minor| *minor >= 0)
}

/// What the lines cost, in minor units. Quantities count in thousandths: goods are sold by weight, too.
fn sum(lines: &[ProductRef]) -> i64 {
    let cost = |line: &ProductRef| {
        let thousandths = (line.quantity.unwrap_or(1.0) * 1_000.0).round() as i128;
        (i128::from(line.price.unwrap_or(0)) * thousandths + 500) / 1_000
    };
    // Past every sum that `Money` reads; bounded so that adding shipping cannot overflow.
    lines.iter().map(cost).sum::<i128>().min(1_000_000_000_000) as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn track(event: &str, properties: &str) -> Result<Body, EventError> {
        let cny = "CNY".parse().unwrap();
        tracked(event, Json::parse(properties).unwrap().fields(), Some("weibo"), &cny)
    }

    fn total(properties: &str) -> Result<i64, EventError> {
        match track("Order Completed", properties)? {
            Body::OrderStated(order) => Ok(order.total),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_order_is_worth_what_the_buyer_pays() {
        for (money, minor) in [
            (r#""total": 19.99, "revenue": 5"#, 1999),
            (r#""total": "19.99""#, 1999),
            (r#""total": 19.990000000000002"#, 1999),
            (r#""total": 0, "revenue": 5"#, 0),
            (r#""revenue": 10, "shipping": 2, "tax": "0.50""#, 1250),
            (r#""subtotal": 10, "shipping": 2"#, 1200),
            (r#""value": 7"#, 700),
            (
                r#""products": [{"sku":"a","price":"1.25","quantity":3},{"sku":"b","price":2}], "discount": 1"#,
                475,
            ),
            (r#""products": [{"sku":"a","price":9.99,"quantity":0.25}]"#, 250),
            (r#""coupon": "X""#, 0),
        ] {
            assert_eq!(total(&format!("{{\"order_id\":7,{money}}}")), Ok(minor), "{money}");
        }
        assert_eq!(total(r#"{"order_id":7,"total":1999,"currency":"JPY"}"#), Ok(1999));
    }

    #[test]
    fn money_that_cannot_be_is_refused_by_name() {
        let error =
            |money: &str| total(&format!("{{\"order_id\":7,{money}}}")).unwrap_err().to_string();
        assert_eq!(error(r#""total": -5"#), "`total` is negative: -5.00");
        assert!(error(r#""total": "NaN""#).contains("`total`"));
        assert!(error(r#""revenue": "¥12""#).contains("`revenue`"));
        assert!(error(r#""total": {}"#).contains("`total`"));
        assert!(error(r#""total": 1e30"#).contains("`total`"));
        assert!(error(r#""total": 5, "currency": "EURO""#).contains("`currency`"));
        for id in ["null", "\"\"", "{}", "\" \""] {
            assert_eq!(
                total(&format!("{{\"order_id\":{id},\"total\":1}}")),
                Err(EventError::NoOrderId)
            );
        }
    }

    #[test]
    fn orders_and_refunds_say_what_became_of_them() {
        let status =
            |event: &str, more: &str| match track(event, &format!("{{\"order_id\":\"A1\"{more}}}"))
            {
                Ok(Body::OrderStated(order)) => (order.order_id, order.status),
                other => panic!("{other:?}"),
            };
        assert_eq!(status("Completed Order", ""), ("A1".to_owned(), OrderStatus::Paid));
        assert_eq!(status("order_updated", "").1, OrderStatus::Paid);
        assert_eq!(status("Order Updated", r#","status":"pending""#).1, OrderStatus::Open);
        assert_eq!(status("Order Cancelled", "").1, OrderStatus::Cancelled);
        let refund =
            |more: &str| match track("Order Refunded", &format!("{{\"order_id\":\"A1\"{more}}}")) {
                Ok(Body::OrderRefunded { amount, .. }) => Ok(amount),
                Ok(other) => panic!("{other:?}"),
                Err(error) => Err(error),
            };
        assert_eq!(refund(""), Ok(None));
        assert_eq!(refund(r#","products":[]"#), Ok(None));
        assert_eq!(refund(r#","total":"3.5""#), Ok(Some(350)));
        assert_eq!(
            refund(r#","products":[{"product_id":1,"price":2,"quantity":2}]"#),
            Ok(Some(400))
        );
        assert_eq!(refund(r#","products":[{"product_id":1}]"#), Err(EventError::UnpricedRefund));
    }

    #[test]
    fn behaviour_is_kept_as_far_as_it_is_sound() {
        let kind = |event: &str, properties: &str| track(event, properties).unwrap().kind();
        assert_eq!(kind("Viewed Product", r#"{"id":9,"name":"Tea"}"#), "product_viewed");
        assert_eq!(kind("Product Viewed", r#"{"name":"Tea"}"#), "product_viewed");
        assert_eq!(kind("Product Viewed", r#"{"category":"Tea"}"#), "tracked");
        assert_eq!(kind("PRODUCT  VIEWED", r#"{"sku":"t","price":-1}"#), "product_viewed");
        assert_eq!(kind("Products Searched", r#"{"query":"tea"}"#), "products_listed");
        assert_eq!(kind("Added Product", r#"{"sku":"t"}"#), "cart_changed");
        assert_eq!(kind("Cart Viewed", "{}"), "tracked");
        assert_eq!(kind("Cart Viewed", r#"{"products":[]}"#), "cart_changed");
        assert_eq!(kind("Checkout Started", "{}"), "checkout_started");
        assert_eq!(kind("Payment Info Entered", r#"{"checkout_id":3}"#), "checkout_started");
        assert_eq!(kind("Product Clicked", r#"{"sku":"t"}"#), "tracked");
        assert_eq!(kind("Coupon Applied", r#"{"coupon_id":"X"}"#), "tracked");

        let viewed = track(
            "Product Viewed",
            r#"{"product_id":1,"sku":"s","price":"9.50","currency":"usd"}"#,
        );
        let Ok(Body::ProductViewed { product, currency }) = viewed else { panic!("{viewed:?}") };
        assert_eq!((product.id.as_str(), product.price), ("1", Some(950)));
        assert_eq!(currency.unwrap().as_str(), "USD");
        let viewed = track("Product Viewed", r#"{"product_id":1,"price":9,"currency":"money"}"#);
        let Ok(Body::ProductViewed { product, currency }) = viewed else { panic!("{viewed:?}") };
        assert_eq!((product.price, currency), (None, None), "a price in no currency is none");
    }

    #[test]
    fn a_long_list_of_long_products_is_cut() {
        let product = format!(r#"{{"sku":"s","name":"{}"}}"#, "x".repeat(10_000));
        let list = vec![product; 400].join(",");
        let Ok(Body::OrderStated(order)) =
            track("Order Completed", &format!(r#"{{"order_id":1,"products":[{list}]}}"#))
        else {
            panic!()
        };
        assert_eq!(order.lines.len(), PRODUCTS);
        assert_eq!(order.lines[0].name.as_ref().unwrap().len(), 200);
    }

    proptest! {
        #[test]
        fn a_total_is_never_negative_and_never_a_rounded_float(
            minor in 0..100_000_000_000_i64, quantity in 0.0..1e6_f64, price in 0..1_000_000_i64,
        ) {
            let cny: Currency = "CNY".parse().unwrap();
            let told = Money::new(minor, cny).amount();
            prop_assert_eq!(total(&format!("{{\"order_id\":1,\"total\":{told}}}")), Ok(minor));
            let lines = format!(r#"{{"order_id":1,"products":[{{"sku":"a","price":{price},"quantity":{quantity}}}],"discount":5}}"#);
            prop_assert!(total(&lines).unwrap() >= 0);
        }
    }
}
