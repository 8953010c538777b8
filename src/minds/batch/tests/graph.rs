//! A graph that looks each token up in a table of four numbers: small enough to write down,
//! and it can be made to answer with what is no number, or not at all.

pub(super) const OUTPUT: &str = "out";
/// A token whose number is none.
pub(super) const NOT_A_NUMBER: i64 = 3;
/// A token that the table does not have: the pass fails.
pub(super) const BEYOND: i64 = 9;

const TABLE: [f32; 4] = [0.0, 1.0, 2.0, f32::NAN];

const FLOAT: u8 = 1;
const INT64: u8 = 7;

/// The file: an ONNX `ModelProto`.
pub(super) fn bytes() -> Vec<u8> {
    let numbers: Vec<u8> = TABLE.iter().flat_map(|number| number.to_le_bytes()).collect();
    let table = [number(1, TABLE.len() as u8), number(2, FLOAT), text(8, "table"), field(9, &numbers)].concat();
    let look_up = [text(1, "table"), text(1, "input_ids"), text(2, OUTPUT), text(4, "Gather")].concat();
    let graph = [
        field(1, &look_up),
        text(2, "table"),
        field(5, &table),
        field(11, &tensor("input_ids", INT64)),
        field(11, &tensor("attention_mask", INT64)),
        field(12, &tensor(OUTPUT, FLOAT)),
    ];
    [number(1, 8), field(7, &graph.concat()), field(8, &number(2, 17))].concat()
}

/// A `ValueInfoProto` of a batch of sequences.
fn tensor(name: &str, kind: u8) -> Vec<u8> {
    let size = |name| field(1, &text(2, name));
    let shape = [size("batch"), size("tokens")].concat();
    [text(1, name), field(2, &field(1, &[number(1, kind), field(2, &shape)].concat()))].concat()
}

fn text(tag: u8, text: &str) -> Vec<u8> {
    field(tag, text.as_bytes())
}

/// A field with a length, as protobuf writes it.
fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag << 3 | 2];
    let mut length = content.len();
    while length > 0x7f {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(content);
    bytes
}

/// A field with a number below 128.
fn number(tag: u8, value: u8) -> Vec<u8> {
    vec![tag << 3, value]
}
