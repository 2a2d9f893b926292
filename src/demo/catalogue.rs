//! What the sample store sells: teas with Chinese and English names, and what they are drunk from.

use crate::journal::ProductRef;

/// One thing on the shelf.
pub struct Item {
    pub id: &'static str,
    pub name: &'static str,
    pub category: &'static str,
    /// In fen.
    pub price: i64,
    /// How long one lasts a daily drinker, in days; 0: it is not used up.
    pub lasts: u32,
    /// How often it is looked at, against the others.
    pub appeal: f64,
}

const fn item(
    id: &'static str,
    name: &'static str,
    category: &'static str,
    price: i64,
    lasts: u32,
    appeal: f64,
) -> Item {
    Item { id, name, category, price, lasts, appeal }
}

#[rustfmt::skip]
pub const ITEMS: &[Item] = &[
    item("longjing-50",   "西湖龙井 明前 50 克",           "绿茶",      9_800, 14, 8.0),
    item("longjing-100",  "西湖龙井 雨前 100 克",          "绿茶",     11_200, 26, 10.0),
    item("longjing-250",  "西湖龙井 雨前 250 克",          "绿茶",     24_800, 60, 5.0),
    item("biluochun-100", "洞庭碧螺春 100 克",             "绿茶",     12_800, 26, 5.0),
    item("maofeng-100",   "黄山毛峰 100 克",               "绿茶",      8_600, 26, 4.0),
    item("guapian-100",   "六安瓜片 100 克",               "绿茶",      9_200, 26, 3.0),
    item("jasmine-100",   "茉莉龙珠 100 克",               "花茶",      8_600, 28, 8.0),
    item("jasmine-250",   "茉莉龙珠 250 克",               "花茶",     18_600, 65, 3.5),
    item("chrysanth-60",  "杭白菊 60 克",                  "花茶",      3_900, 30, 4.0),
    item("tieguanyin-125","安溪铁观音 125 克",             "乌龙",     10_800, 28, 6.0),
    item("dahongpao-100", "武夷大红袍 100 克",             "乌龙",     16_800, 26, 5.0),
    item("dancong-100",   "凤凰单丛 蜜兰香 100 克",        "乌龙",     15_800, 26, 3.5),
    item("keemun-100",    "祁门红茶 100 克",               "红茶",      8_800, 30, 4.5),
    item("dianhong-150",  "滇红金芽 150 克",               "红茶",     11_800, 40, 4.0),
    item("baihao-50",     "白毫银针 50 克",                "白茶",     15_600, 18, 3.0),
    item("shoumei-350",   "老寿眉饼 350 克",               "白茶",     22_800, 110, 2.5),
    item("puer-357",      "勐海熟普饼 357 克",             "普洱",     19_800, 110, 4.0),
    item("puer-raw-357",  "冰岛古树生普饼 357 克",         "普洱",     68_800, 140, 1.2),
    item("breakfast-125", "Lakeside Breakfast 125 g",      "Black tea", 7_600, 32, 4.0),
    item("earlgrey-125",  "Earl Grey, loose leaf 125 g",   "Black tea", 7_900, 32, 4.5),
    item("sencha-100",    "Sencha, steamed green 100 g",   "Green tea", 8_800, 26, 2.0),
    item("sampler-8",     "Eight Teas sampler, 8 × 10 g",  "Sampler",   6_800, 12, 6.0),
    item("gaiwan-white",  "白瓷盖碗 120 毫升",             "茶具",      6_900, 0, 3.5),
    item("teapot-yixing", "宜兴紫砂壶 西施 150 毫升",      "茶具",     36_800, 0, 1.8),
    item("glass-mug",     "Double-wall glass mug 300 ml",  "Teaware",   5_900, 0, 2.5),
    item("travel-set",    "旅行茶具 一壶两杯",             "茶具",     12_900, 0, 2.2),
    item("gift-spring",   "明前龙井礼盒 两罐 200 克",      "礼盒",     39_800, 0, 2.0),
    item("gift-six",      "六色名茶礼盒",                  "礼盒",     29_800, 0, 2.4),
    item("gift-moon",     "Moonlight gift box, tea & cups","Gifts",    45_800, 0, 1.2),
];

pub fn gifts() -> impl Iterator<Item = &'static Item> {
    ITEMS.iter().filter(|item| item.id.starts_with("gift-"))
}

/// What is drunk up and bought again.
pub fn teas() -> impl Iterator<Item = &'static Item> {
    ITEMS.iter().filter(|item| item.lasts > 0)
}

impl Item {
    /// As a tracking call names it.
    pub fn told(&self, quantity: i64) -> ProductRef {
        ProductRef {
            id: self.id.to_owned(),
            name: Some(self.name.to_owned()),
            category: Some(self.category.to_owned()),
            brand: Some("Lakeside Tea".to_owned()),
            url: Some(format!("https://lakeside.example/p/{}", self.id)),
            image_url: None,
            price: Some(self.price),
            quantity: Some(quantity as f64),
        }
    }
}
