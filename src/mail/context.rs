//! What a template may speak of. Values only: prices are formatted and links are made before.

use serde::{Serialize, Serializer};

/// Everything a mail template can name. What is unknown is none, never undefined: a template that names something
/// else does not load.
#[derive(Debug, Clone, Default, Serialize)]
pub struct MailContext {
    pub store: StoreWords,
    pub customer: CustomerWords,
    /// Viewed, left in the cart, or bought: the most telling first.
    pub products: Vec<ProductWords>,
    pub coupon: Option<String>,
    /// Stands in place of the template's own subject, as it is.
    #[serde(rename = "subject_override")]
    pub subject: Option<String>,
    #[serde(serialize_with = "web_address")]
    pub unsubscribe_url: Option<String>,
    #[serde(serialize_with = "web_address")]
    pub preferences_url: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct StoreWords {
    pub name: String,
    pub postal_address: String,
    #[serde(serialize_with = "web_address")]
    pub url: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct CustomerWords {
    pub name: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct ProductWords {
    pub name: String,
    /// With its currency, as people read it.
    pub price: Option<String>,
    #[serde(serialize_with = "web_address")]
    pub image_url: Option<String>,
    #[serde(serialize_with = "web_address")]
    pub url: Option<String>,
    /// As people write it; none for one.
    pub quantity: Option<String>,
}

/// Links come from shops' data: one that is not plain http(s) (`javascript:`, `data:`) is no link.
fn web_address<S: Serializer>(url: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    match url.as_deref().filter(|url| is_web_address(url)) {
        Some(url) => serializer.serialize_some(url),
        None => serializer.serialize_none(),
    }
}

pub(super) fn is_web_address(url: &str) -> bool {
    let starts = |scheme: &str| {
        url.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme))
    };
    (starts("https://") || starts("http://"))
        && !url.contains(|c: char| c.is_control() || c.is_whitespace() || "<>\"".contains(c))
}

impl CustomerWords {
    /// How to call them: the first word of a name written in letters, else the whole name; none for what is no name.
    pub(super) fn first_name(&self) -> Option<&str> {
        let name = self.name.as_deref()?.trim();
        let first = if name.is_ascii() { name.split_whitespace().next()? } else { name };
        (first.chars().any(char::is_alphabetic) && !first.contains('@')).then_some(first)
    }
}

impl MailContext {
    /// The best place to go from this mail: the first product, else the shop.
    pub(super) fn link(&self) -> Option<&str> {
        let products = self.products.iter().map(|p| &p.url);
        let mut links = products.chain([&self.store.url]).flatten().map(String::as_str);
        links.find(|url| is_web_address(url))
    }

    /// A full one and a bare one, against which every template is tried when it is loaded.
    pub fn samples(locale: &str) -> Vec<Self> {
        let chinese = locale.starts_with("zh");
        let pick = |zh: &str, en: &str| if chinese { zh.to_owned() } else { en.to_owned() };
        let store = StoreWords {
            name: pick("湖畔茶舍", "Lakeside Tea"),
            postal_address: pick("浙江省杭州市西湖区湖滨路 1 号", "1 Lake Road, Hangzhou"),
            url: Some("https://lakeside.example".to_owned()),
        };
        let product =
            |zh: &str, en: &str, price: (&str, &str), image: bool, quantity: Option<&str>| {
                ProductWords {
                    name: pick(zh, en),
                    price: Some(pick(price.0, price.1)),
                    image_url: image.then(|| "https://lakeside.example/images/tea.jpg".to_owned()),
                    url: Some("https://lakeside.example/p/longjing?from=mail&size=100".to_owned()),
                    quantity: quantity.map(str::to_owned),
                }
            };
        let full = Self {
            store: store.clone(),
            customer: CustomerWords { name: Some(pick("李婉清", "Ann Lindqvist")) },
            products: vec![
                product(
                    "明前西湖龙井 特级 100 克",
                    "West Lake Longjing, first flush, 100 g",
                    ("¥268.00", "$38.00"),
                    true,
                    None,
                ),
                product(
                    "手工汝窑茶杯 <礼盒> & 茶匙",
                    "Celadon cup & scoop, <gift box>",
                    ("¥158.00", "$22.50"),
                    false,
                    Some("2"),
                ),
                product(
                    "桂花乌龙 50 克",
                    "Osmanthus oolong, 50 g",
                    ("¥88.00", "$12.80"),
                    true,
                    None,
                ),
            ],
            coupon: Some("WELCOME-10".to_owned()),
            subject: None,
            unsubscribe_url: Some("https://mail.lakeside.example/u/SAMPLE".to_owned()),
            preferences_url: Some("https://mail.lakeside.example/u/SAMPLE".to_owned()),
        };
        let bare = Self {
            store: StoreWords { url: None, ..store },
            unsubscribe_url: full.unsubscribe_url.clone(),
            ..Self::default()
        };
        vec![full, bare]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_is_not_of_the_web_is_none() {
        for url in [
            "javascript:alert(1)",
            "data:text/html,x",
            "//x.example",
            "https://a b",
            "https://a\r\nb",
            "",
        ] {
            assert!(!is_web_address(url), "{url}");
            let product = ProductWords { url: Some(url.to_owned()), ..ProductWords::default() };
            assert_eq!(serde_json::to_value(product).unwrap()["url"], serde_json::Value::Null);
        }
        assert!(is_web_address("HTTPS://shop.example/p?a=1&b=茶"));
    }

    #[test]
    fn people_are_called_as_one_calls_people() {
        let called = |name: &str| {
            let words = CustomerWords { name: Some(name.to_owned()) };
            words.first_name().map(str::to_owned)
        };
        assert_eq!(called("Ann Lindqvist").as_deref(), Some("Ann"));
        assert_eq!(called("李婉清").as_deref(), Some("李婉清"));
        assert_eq!(called("ann@mail.example"), None);
        assert_eq!(called(" 12345 "), None);
        assert_eq!(CustomerWords::default().first_name(), None);
    }
}
