//! What one row of orders.csv says: of the order as a whole, and of one item.

use super::cells::{money, past_instant, quantity, shown};
use super::row::{Notes, Row, RowError, Setting, Who, columns, fingerprint, from_file, identified};
use crate::journal::{Body, Identifiers, NewFact, OrderStated, OrderStatus, ProductRef, Traits};
use crate::primitives::{Currency, Timestamp};

columns! {
    pub enum Field {
        OrderId = "order_id" required,
        PlacedAt = "placed_at" required,
        Status = "status" required,
        Currency = "currency" required,
        Total = "total" required,
        Refunded = "refunded",
        CustomerId = "customer_id",
        Email = "email",
        Phone = "phone",
        Name = "name",
        Sku = "sku",
        ProductId = "product_id",
        ProductName = "product_name",
        Quantity = "quantity",
        UnitPrice = "unit_price",
        Coupon = "coupon",
        Channel = "channel",
        UtmSource = "utm_source",
        UtmMedium = "utm_medium",
        UtmCampaign = "utm_campaign",
    }
}

/// An order as its first row states it.
pub struct Order {
    placed_at: Timestamp,
    status: OrderStatus,
    pub currency: Currency,
    total: i64,
    extras: Extras,
}

/// What an order may lack. Rows after the first may add to it.
#[derive(Default)]
struct Extras {
    refunded: Option<i64>,
    who: Who,
    name: Option<String>,
    coupon: Option<String>,
    channel: Option<String>,
}

/// What one row says of its order. `None` where it says nothing, as rows after the first may.
pub struct Said {
    placed_at: Option<Timestamp>,
    status: Option<OrderStatus>,
    currency: Option<Currency>,
    total: Option<i64>,
    extras: Extras,
}

/// How a row of an open order stands to the rows before it.
pub enum Relation {
    Continues,
    /// The same order at another time of its life.
    Restates,
    Contradicts(RowError),
}

impl Said {
    /// `known` is the order's currency, where rows above told it.
    pub fn read(
        row: &Row<'_, Field>,
        setting: &Setting,
        known: Option<&Currency>,
        notes: &mut Notes,
    ) -> Result<Self, RowError> {
        let code = |code: &str| code.parse::<Currency>().map_err(|e| e.to_string());
        let currency = row.read(Field::Currency, code)?;
        let amounts_in = currency.as_ref().or(known);
        let channel = match row.words(Field::Channel, 100)? {
            Some(channel) => Some(channel),
            None => row.words(Field::UtmSource, 100)?,
        };
        Ok(Self {
            placed_at: row
                .read(Field::PlacedAt, |text| past_instant(text, &setting.zone, setting.now))?,
            status: row.read(Field::Status, status)?,
            total: amount(row, Field::Total, amounts_in)?,
            extras: Extras {
                refunded: amount(row, Field::Refunded, amounts_in)?,
                who: row.who([Field::CustomerId, Field::Email, Field::Phone], notes)?,
                name: row.words(Field::Name, 200)?,
                coupon: row.words(Field::Coupon, 100)?,
                channel,
            },
            currency,
        })
    }

    /// The order, if the row says all that one needs.
    pub fn begin(self, row: &Row<'_, Field>) -> Result<Order, RowError> {
        let empty = |column: Field| row.error(column, "is empty".to_owned());
        let order = Order {
            placed_at: self.placed_at.ok_or_else(|| empty(Field::PlacedAt))?,
            status: self.status.ok_or_else(|| empty(Field::Status))?,
            currency: self.currency.ok_or_else(|| empty(Field::Currency))?,
            total: self.total.ok_or_else(|| empty(Field::Total))?,
            extras: self.extras,
        };
        if order.extras.who.identifiers.is_empty() {
            let reason = "is empty or masked, and so are email and phone: a guest's order can be credited to nobody";
            return Err(row.error(Field::CustomerId, reason.to_owned()));
        }
        Ok(order)
    }
}

impl Order {
    /// Takes over from a further row what is not known yet.
    pub fn add(&mut self, said: Said) {
        fn fill<T>(ours: &mut Option<T>, theirs: Option<T>) {
            if ours.is_none() {
                *ours = theirs;
            }
        }
        let (ours, theirs) = (&mut self.extras, said.extras);
        fill(&mut ours.refunded, theirs.refunded);
        fill(&mut ours.name, theirs.name);
        fill(&mut ours.coupon, theirs.coupon);
        fill(&mut ours.channel, theirs.channel);
        fill(&mut ours.who.phone, theirs.who.phone);
        let (ours, theirs) = (&mut ours.who.identifiers, theirs.who.identifiers);
        fill(&mut ours.external_id, theirs.external_id);
        fill(&mut ours.email, theirs.email);
        if ours.external_id.is_some() || ours.email.is_some() {
            ours.phone = None;
        }
    }

    /// `first` is the line of the order's first row.
    pub fn relation(&self, said: &Said, row: &Row<'_, Field>, first: u64) -> Relation {
        let (ours, theirs) = (&self.extras, &said.extras);
        let (our_ids, their_ids) = (&ours.who.identifiers, &theirs.who.identifiers);
        let address = |ids: &Identifiers| ids.email.as_ref().map(|email| email.identity_key());
        let differing = [
            (Field::PlacedAt, differs(&Some(self.placed_at), &said.placed_at)),
            (Field::Currency, differs(&Some(&self.currency), &said.currency.as_ref())),
            (Field::Total, differs(&Some(self.total), &said.total)),
            (Field::CustomerId, differs(&our_ids.external_id, &their_ids.external_id)),
            (Field::Email, differs(&address(our_ids), &address(their_ids))),
        ];
        if let Some((column, _)) = differing.iter().find(|(_, differs)| *differs) {
            let reason = format!(
                "differs from the order's first row, line {first}: each row repeats it or leaves it empty"
            );
            return Relation::Contradicts(row.error(*column, reason));
        }
        if differs(&Some(self.status), &said.status) || differs(&ours.refunded, &theirs.refunded) {
            Relation::Restates
        } else {
            Relation::Continues
        }
    }

    /// The fact that the order is, after the one of who placed it where the rows tell more than ids.
    pub fn into_facts(
        self,
        id: String,
        lines: Vec<ProductRef>,
        first: u64,
        notes: &mut Notes,
    ) -> (Option<NewFact>, NewFact) {
        let Extras { refunded, who: Who { identifiers, phone }, name, coupon, channel } =
            self.extras;
        if refunded.is_some_and(|refunded| refunded > self.total) {
            notes.add("refunds larger than their order were cut to its total", first);
        }
        let links = identifiers.external_id.is_some() && identifiers.email.is_some();
        let profile = (name.is_some() || phone.is_some() || links).then(|| {
            let traits = Traits { name, phone, ..Traits::default() };
            identified(identifiers.clone(), traits, self.placed_at)
        });
        let order = OrderStated {
            order_id: id,
            status: self.status,
            placed_at: Some(self.placed_at),
            total: self.total,
            currency: self.currency,
            refunded: refunded.map(|refunded| refunded.min(self.total)),
            coupon,
            channel,
            lines,
        };
        let key = source_key(&order, &identifiers);
        (profile, from_file(key, self.placed_at, identifiers, Body::OrderStated(order)))
    }
}

/// Both say something, and not the same.
fn differs<T: PartialEq>(ours: &Option<T>, theirs: &Option<T>) -> bool {
    matches!((ours, theirs), (Some(ours), Some(theirs)) if ours != theirs)
}

/// The row's item, if it has one. A product without an id is known by its sku, or else by its name.
pub fn item(
    row: &Row<'_, Field>,
    currency: &Currency,
    notes: &mut Notes,
) -> Result<Option<ProductRef>, RowError> {
    let name = row.words(Field::ProductName, 500)?;
    let id = match row.id(Field::ProductId)? {
        Some(id) => Some(id),
        None => row
            .id(Field::Sku)?
            .or_else(|| name.as_ref().map(|name| name.chars().take(200).collect())),
    };
    let quantity = row.read(Field::Quantity, quantity)?.flatten();
    let price = row.read(Field::UnitPrice, |text| money(text, currency))?.flatten();
    if price.is_some_and(|price| price < 0) {
        notes.add("negative unit prices were left out", row.line());
    }
    let price = price.filter(|price| *price >= 0);
    Ok(id.map(|id| ProductRef { id, name, price, quantity, ..ProductRef::default() }))
}

/// An amount that is not negative. Without a currency it cannot be read, and its row begins no order.
fn amount(
    row: &Row<'_, Field>,
    column: Field,
    currency: Option<&Currency>,
) -> Result<Option<i64>, RowError> {
    let Some(currency) = currency else { return Ok(None) };
    match row.read(column, |text| money(text, currency))?.flatten() {
        Some(minor) if minor < 0 => {
            let hint = "money given back goes into the column refunded, as a positive amount";
            Err(row.error(column, format!("`{}` is negative: {hint}", shown(&row.text(column)?))))
        }
        amount => Ok(amount),
    }
}

fn status(text: &str) -> Result<OrderStatus, String> {
    match text.to_ascii_lowercase().as_str() {
        "open" => Ok(OrderStatus::Open),
        "paid" => Ok(OrderStatus::Paid),
        "cancelled" | "canceled" => Ok(OrderStatus::Cancelled),
        "refunded" => Ok(OrderStatus::Refunded),
        _ => Err(format!("`{}` is not one of: open, paid, cancelled, refunded", shown(text))),
    }
}

/// Order id, stage and fingerprint. All statements of an order carry the time of its placing, and those of one
/// file are received together: then the key decides which stands, and the one further on in the order's life
/// must sort behind.
fn source_key(order: &OrderStated, identifiers: &Identifiers) -> String {
    let stage = match (order.status, order.refunded) {
        (OrderStatus::Cancelled, _) => "d".to_owned(),
        (OrderStatus::Refunded, _) => "e".to_owned(),
        (_, Some(refunded)) if refunded > 0 => format!("c{refunded:010x}"),
        (OrderStatus::Paid, _) => "b".to_owned(),
        _ => "a".to_owned(),
    };
    format!("{}:{stage}{}", order.order_id, fingerprint(&(identifiers, order)))
}
