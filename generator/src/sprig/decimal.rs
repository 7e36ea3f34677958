//! Decimal numbers of any length: `addf 0.1 0.2` is 0.3.
//!
//! A float enters with its shortest digits and leaves as the nearest float. Source: shopspring/decimal v1.4.0.

use num_bigint::BigInt;
use num_integer::Integer;
use num_traits::{Signed, Zero};

use crate::gotemplate::FunctionError;

/// Decimal places that division keeps.
const DIVISION_PLACES: i64 = 16;

/// `coefficient * 10^exponent`.
#[derive(Debug, Clone)]
pub(super) struct Decimal {
    coefficient: BigInt,
    exponent: i64,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("Cannot create a Decimal from {0}")]
    NotFinite(String),
    #[error("decimal division by 0")]
    DivisionByZero,
}

impl From<Error> for FunctionError {
    fn from(error: Error) -> FunctionError {
        FunctionError::new(error.to_string())
    }
}

impl Decimal {
    pub(super) fn from_float(x: f64) -> Result<Decimal, Error> {
        if !x.is_finite() {
            return Err(Error::NotFinite(super::number::go_g(x)));
        }
        let text = format!("{x:e}");
        let (mantissa, exponent) = text.split_once('e').expect("`{:e}` always writes an exponent");
        let exponent: i64 = exponent.parse().expect("`{:e}` writes an integer exponent");
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let coefficient = format!("{whole}{fraction}").parse().expect("digits with an optional minus");
        let places = i64::try_from(fraction.len()).expect("a float has few digits");
        Ok(Decimal { coefficient, exponent: exponent - places })
    }

    pub(super) fn to_float(&self) -> f64 {
        format!("{}e{}", self.coefficient, self.exponent).parse().expect("a number in exponent form")
    }

    pub(super) fn add(&self, other: &Decimal) -> Decimal {
        let exponent = self.exponent.min(other.exponent);
        Decimal { coefficient: self.scaled_to(exponent) + other.scaled_to(exponent), exponent }
    }

    pub(super) fn subtract(&self, other: &Decimal) -> Decimal {
        self.add(&Decimal { coefficient: -&other.coefficient, exponent: other.exponent })
    }

    pub(super) fn multiply(&self, other: &Decimal) -> Decimal {
        Decimal { coefficient: &self.coefficient * &other.coefficient, exponent: self.exponent + other.exponent }
    }

    /// Divides to 16 decimal places; a half is rounded away from zero.
    pub(super) fn divide(&self, other: &Decimal) -> Result<Decimal, Error> {
        if other.coefficient.is_zero() {
            return Err(Error::DivisionByZero);
        }
        let shift = self.exponent - other.exponent + DIVISION_PLACES;
        let (numerator, denominator) = if shift < 0 {
            (self.coefficient.clone(), &other.coefficient * power_of_ten(-shift))
        } else {
            (&self.coefficient * power_of_ten(shift), other.coefficient.clone())
        };
        let negative = numerator.is_negative() != denominator.is_negative();
        let (mut quotient, rest) = numerator.abs().div_rem(&denominator.abs());
        if rest * 2 >= denominator.abs() {
            quotient += 1;
        }
        let coefficient = if negative { -quotient } else { quotient };
        Ok(Decimal { coefficient, exponent: -DIVISION_PLACES })
    }

    fn scaled_to(&self, exponent: i64) -> BigInt {
        &self.coefficient * power_of_ten(self.exponent - exponent)
    }
}

fn power_of_ten(n: i64) -> BigInt {
    BigInt::from(10).pow(u32::try_from(n).expect("the difference of two exponents of floats"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_do_not_drift() {
        let d = |x| Decimal::from_float(x).expect("finite");
        assert_eq!(d(0.1).add(&d(0.2)).to_float(), 0.3);
        assert_eq!(d(1.1).multiply(&d(1.1)).to_float(), 1.21);
        assert_eq!(d(10.0).divide(&d(-3.0)).expect("not zero").to_float(), -3.333_333_333_333_333_5);
        assert_eq!(d(1e300).subtract(&d(1e-300)).to_float(), 1e300);
        assert!(d(1.0).divide(&d(0.0)).is_err());
    }
}
