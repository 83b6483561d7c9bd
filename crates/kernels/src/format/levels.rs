//! The levels of the types whose codes are places in a table.

use crate::WeightType;

/// What the sixteen codes of a type mean.
#[derive(Debug)]
pub(crate) struct Levels {
    /// The value of each code.
    pub values: [i8; 16],
    /// The same plus 128, as the products take them.
    pub centred: [u8; 16],
    /// Factor of all products with the values, a power of two: the file's values are fractions.
    pub factor: f32,
}

impl Levels {
    const fn new(values: [i8; 16], factor: f32) -> Levels {
        let mut centred = [0; 16];
        let mut code = 0;
        while code < 16 {
            centred[code] = (values[code] as u8) ^ 0x80;
            code += 1;
        }
        Levels { values, centred, factor }
    }

    /// Eight levels, and the same with the other sign from code 8 on.
    const fn signed(positive: [i8; 8], factor: f32) -> Levels {
        let mut values = [0; 16];
        let mut code = 0;
        while code < 8 {
            values[code] = positive[code];
            values[code + 8] = -positive[code];
            code += 1;
        }
        Levels::new(values, factor)
    }
}

static IQ4: Levels = Levels::new([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], 1.0);
/// The floats of four bits (E2M1), twice.
static E2M1: Levels = Levels::signed([0, 1, 2, 3, 4, 6, 8, 12], 1.0);
static IQ3_XXS: Levels = Levels::signed([4, 12, 20, 28, 36, 44, 52, 62], 0.25);
static IQ3_S: Levels = Levels::signed([1, 3, 5, 7, 9, 11, 13, 15], 1.0);
static IQ2: Levels = Levels::signed([8, 25, 43, 0, 0, 0, 0, 0], 0.125);
/// -1, 0 and 1, moved up by an eighth (codes 0 to 2) or down (8 to 10).
static IQ1: Levels = Levels::new([-7, 1, 9, 0, 0, 0, 0, 0, -9, -1, 7, 0, 0, 0, 0, 0], 0.125);
/// A code of 3 is in no file that a quantiser wrote; it means 2.
static TERNARY: Levels = Levels::new([-1, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1.0);

/// The levels of a type, if its codes are places in a table.
pub(crate) fn levels(ty: WeightType) -> Option<&'static Levels> {
    match ty {
        WeightType::IQ4NL | WeightType::IQ4XS => Some(&IQ4),
        WeightType::MXFP4 | WeightType::NVFP4 => Some(&E2M1),
        WeightType::IQ3XXS => Some(&IQ3_XXS),
        WeightType::IQ3S => Some(&IQ3_S),
        WeightType::IQ2XXS | WeightType::IQ2XS | WeightType::IQ2S => Some(&IQ2),
        WeightType::IQ1S | WeightType::IQ1M => Some(&IQ1),
        WeightType::TQ1_0 | WeightType::TQ2_0 => Some(&TERNARY),
        _ => None,
    }
}
