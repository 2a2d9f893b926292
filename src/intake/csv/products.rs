//! products.csv: one row per product of the catalogue.

use super::cells::{money, shown};
use super::row::{Refusal, Row, RowError, Rows, Setting, Taken, columns};
use crate::primitives::{Currency, clean_text};
use crate::products::Product;

columns! {
    pub enum Field {
        ProductId = "product_id" required,
        Name = "name",
        Category = "category",
        Brand = "brand",
        Url = "url",
        ImageUrl = "image_url",
        Price = "price",
        Currency = "currency",
    }
}

pub struct ProductRows {
    setting: Setting,
}

impl ProductRows {
    pub fn new(setting: Setting) -> Self {
        Self { setting }
    }

    fn product(&self, row: &Row<'_, Field>) -> Result<Product, RowError> {
        let Some(id) = row.id(Field::ProductId)? else {
            return Err(row.error(Field::ProductId, "is empty: it names the product".to_owned()));
        };
        let told = |code: &str| code.parse::<Currency>().map_err(|e| e.to_string());
        let currency =
            row.read(Field::Currency, told)?.unwrap_or_else(|| self.setting.currency.clone());
        let minor = row.read(Field::Price, |text| money(text, &currency))?.flatten();
        if minor.is_some_and(|minor| minor < 0) {
            return Err(row.error(Field::Price, "is negative".to_owned()));
        }
        Ok(Product {
            store_id: self.setting.store,
            product_id: id,
            name: row.words(Field::Name, 500)?,
            category: row.words(Field::Category, 200)?,
            brand: row.words(Field::Brand, 200)?,
            url: link(row, Field::Url)?,
            image_url: link(row, Field::ImageUrl)?,
            price: minor,
            currency: minor.map(|_| currency),
            told_at: self.setting.now,
        })
    }
}

/// A link that may stand in a mail: nothing but http and https.
fn link(row: &Row<'_, Field>, column: Field) -> Result<Option<String>, RowError> {
    row.read(column, |text| {
        let is_web = ["http://", "https://"].iter().any(|scheme| {
            text.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme))
        });
        if !is_web
            || text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '"' || c == '<')
        {
            return Err(format!("`{}` is no web address: write https://…", shown(text)));
        }
        match text.chars().count() {
            0..=2_000 => Ok(clean_text(text, 2_000)),
            _ => Err("is longer than 2000 characters".to_owned()),
        }
    })
    .map(Option::flatten)
}

impl Rows for ProductRows {
    type Columns = Field;
    type Item = Product;

    fn take(&mut self, row: &Row<'_, Field>, taken: &mut Taken<Product>) {
        match self.product(row) {
            Ok(product) => taken.items.push(product),
            Err(error) => {
                let raw = row.record.raw.to_vec();
                taken.refused.push(Refusal { line: row.line(), error, raw });
            }
        }
    }
}
