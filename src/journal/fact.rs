//! Facts: one thing that happened, from one source, once. Intake makes them; the journal keeps and folds them.

use serde::{Deserialize, Serialize};

use crate::primitives::{Currency, EmailAddress, Timestamp};
use crate::text_enum;

text_enum! {
    /// Where a fact comes from. The names are part of a fact's key, so they never change.
    pub enum Source {
        /// The tracking API, server or browser.
        Tracking = "tracking",
        /// CSV files.
        Csv = "csv",
        /// What recipients do with our mails and preference pages.
        Mail = "mail",
        /// What operators do by hand, in the console, by the API or the command line.
        Manual = "manual",
        /// The sample store's generator.
        Demo = "demo",
    }
}

impl Source {
    /// Whose word about an order stands: the higher. Shop webhooks will stand above files.
    pub fn order_rank(self) -> i32 {
        match self {
            Self::Manual => 4,
            Self::Csv | Self::Demo => 2,
            Self::Tracking | Self::Mail => 1,
        }
    }
}

/// A fact as a source tells it: not stored yet, its customer not known yet.
#[derive(Debug, Clone, PartialEq)]
pub struct NewFact {
    pub source: Source,
    /// Unique within the store and source: a messageId, or an order id and a hash of what is said of it.
    pub source_key: String,
    pub occurred_at: Timestamp,
    /// False for history: it may then trigger only what falls due after its arrival.
    pub live: bool,
    pub identifiers: Identifiers,
    pub body: Body,
    pub context: Context,
}

/// What a fact says of who did it. Empty identifiers are fit only for facts about a known order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Identifiers {
    /// A browser's or device's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymous_id: Option<String>,
    /// The shop's own customer id: SDK userId, CSV customer_id (`ext:`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailAddress>,
    /// Digits and a leading `+`; names a customer only where nothing else does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
}

impl Identifiers {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The circumstances of a visit; all empty for files.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    /// utm_source, else the referrer's host, else none (direct).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// utm_campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// An IANA zone name as the client gives it, checked when used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// A crawler or scanner: kept, but counted nowhere.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub bot: bool,
}

/// A product as a fact names it; the newest word makes the catalogue entry.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProductRef {
    /// product_id, else the sku.
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// Unit price, in minor units of the fact's currency (the store's when it names none).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<f64>,
}

text_enum! {
    /// What a fact says about a cart's content.
    pub enum CartChange {
        Added = "added",
        Removed = "removed",
        /// `products` is the whole content now.
        Viewed = "viewed",
    }
}

text_enum! {
    pub enum OrderStatus {
        Draft = "draft",
        Test = "test",
        Open = "open",
        Paid = "paid",
        Cancelled = "cancelled",
        Refunded = "refunded",
    }
}

/// All that one source says of an order at one time. Money in minor units of `currency`, none negative.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderStated {
    pub order_id: String,
    pub status: OrderStatus,
    /// When the source says it was placed; absent where only the fact's own time is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placed_at: Option<Timestamp>,
    /// What the buyer pays.
    pub total: i64,
    pub currency: Currency,
    /// Given back so far by this source's count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refunded: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<ProductRef>,
}

/// What a fact changes in a profile: `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Everything else, as told.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub other: serde_json::Map<String, serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent: Option<ConsentTold>,
}

/// A word about marketing consent by e-mail. A withdrawal without its time has the fact's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConsentTold {
    pub granted: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// How: `trait`, `csv`, `one-click`, `link`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
}

/// What happened. The serde tag is the fact's `kind` in the database and in `homing facts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    PageViewed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        referrer: Option<String>,
    },
    ProductViewed {
        product: ProductRef,
        currency: Option<Currency>,
    },
    ProductsListed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        category: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        query: Option<String>,
    },
    CartChanged {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cart_id: Option<String>,
        change: CartChange,
        products: Vec<ProductRef>,
        currency: Option<Currency>,
    },
    /// Checkout Started and every step after it.
    CheckoutStarted {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cart_id: Option<String>,
        /// checkout_id, else order_id: joins the steps.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        checkout_id: Option<String>,
        /// Minor units.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<i64>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        products: Vec<ProductRef>,
        currency: Option<Currency>,
    },
    OrderStated(OrderStated),
    OrderRefunded {
        order_id: String,
        /// Minor units in the order's currency; `None`: all of it.
        amount: Option<i64>,
    },
    /// Traits, consent, or just a link between identifiers.
    Identified {
        #[serde(default)]
        traits: Box<Traits>,
    },
    /// `previous_id`, an anonymous id, belongs to the fact's customer.
    Aliased {
        previous_id: String,
    },
    Grouped {
        group_id: String,
    },
    /// An event outside the e-commerce vocabulary.
    Tracked {
        event: String,
        #[serde(default)]
        properties: serde_json::Map<String, serde_json::Value>,
    },
    /// Unsubscribed, complained, or agreed again on our own pages.
    ConsentChanged(ConsentTold),
}

impl Body {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PageViewed { .. } => "page_viewed",
            Self::ProductViewed { .. } => "product_viewed",
            Self::ProductsListed { .. } => "products_listed",
            Self::CartChanged { .. } => "cart_changed",
            Self::CheckoutStarted { .. } => "checkout_started",
            Self::OrderStated(_) => "order_stated",
            Self::OrderRefunded { .. } => "order_refunded",
            Self::Identified { .. } => "identified",
            Self::Aliased { .. } => "aliased",
            Self::Grouped { .. } => "grouped",
            Self::Tracked { .. } => "tracked",
            Self::ConsentChanged(_) => "consent_changed",
        }
    }

    /// The order it speaks of, if any: such a fact belongs to whoever holds the order.
    pub fn order_id(&self) -> Option<&str> {
        match self {
            Self::OrderStated(order) => Some(&order.order_id),
            Self::OrderRefunded { order_id, .. } => Some(order_id),
            _ => None,
        }
    }

    /// Behaviour makes visits; orders, refunds, identities and consent do not (design: Visit).
    pub fn is_behaviour(&self) -> bool {
        matches!(
            self,
            Self::PageViewed { .. }
                | Self::ProductViewed { .. }
                | Self::ProductsListed { .. }
                | Self::CartChanged { .. }
                | Self::CheckoutStarted { .. }
                | Self::Tracked { .. }
        )
    }
}

/// The part of a fact that is kept as one JSON document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Payload {
    #[serde(default, skip_serializing_if = "Identifiers::is_empty")]
    pub identifiers: Identifiers,
    #[serde(default, skip_serializing_if = "is_default_context")]
    pub context: Context,
    pub body: Body,
}

fn is_default_context(context: &Context) -> bool {
    *context == Context::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_the_tag() {
        let bodies = [
            Body::PageViewed { title: None, referrer: None },
            Body::OrderRefunded { order_id: "7".into(), amount: None },
            Body::Identified { traits: Box::default() },
            Body::ConsentChanged(ConsentTold { granted: false, at: None, channel: None }),
        ];
        for body in bodies {
            let json = serde_json::to_value(&body).unwrap();
            assert_eq!(json["kind"], body.kind());
            assert_eq!(serde_json::from_value::<Body>(json).unwrap(), body);
        }
    }
}
