//! Sentences that say what somebody does.

use anyhow::{Context, bail, ensure};

/// How somebody reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Manner {
    /// As people do.
    #[default]
    Usual,
    /// In less than a second and a quarter.
    Quickly,
    /// The weight leaves the plate over seconds.
    Slowly,
    /// With the hand on the item for seconds before it is lifted.
    AfterHolding,
}

/// One thing that somebody does.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// `go to A`
    Go(String),
    /// `take 2 A`, `take A from B`, `take A and B together`
    Take {
        /// How many of what, all in one reach.
        what: Vec<(u32, String)>,
        /// Where it lies, if not in its place.
        from: Option<String>,
        /// How.
        manner: Manner,
    },
    /// `put A back`, `put 2 A at B`
    Put {
        /// How many.
        count: u32,
        /// Of what.
        product: String,
        /// On whose place, if not its own.
        at: Option<String>,
        /// How.
        manner: Manner,
    },
    /// `touch A`
    Touch(String),
    /// `leave A on the floor`
    Drop(String),
    /// `pick A up`
    PickUp(String),
    /// `give A to Bob`
    Give {
        /// What.
        product: String,
        /// To whom.
        to: String,
    },
    /// `stock 4 A`: brings items from the back.
    Stock(u32, String),
    /// `wait 3 s`
    Wait(f64),
    /// `meet Bob`: waits until they meet too.
    Meet(String),
    /// `wait until Bob has A`: until Bob took or was given it.
    UntilHas(String, String),
    /// `wait until Bob is rid of A`: until Bob had it and has it no more.
    UntilRid(String, String),
    /// `wait until Bob has left`
    UntilLeft(String),
    /// `hurry`: from now on.
    Hurry,
    /// `go where no camera looks`
    Hide,
    /// `shop 3`: does so many things at random.
    Shop(u32),
}

impl Step {
    /// Reads a sentence.
    ///
    /// # Errors
    /// When it is not one of those above.
    pub fn parse(sentence: &str) -> anyhow::Result<Self> {
        let mut words: Vec<&str> = sentence.split_whitespace().collect();
        let manner = if words.last() == Some(&"quickly") {
            words.pop();
            Manner::Quickly
        } else if words.last() == Some(&"slowly") {
            words.pop();
            Manner::Slowly
        } else if words.ends_with(&["after", "holding", "it"]) {
            words.truncate(words.len() - 3);
            Manner::AfterHolding
        } else {
            Manner::Usual
        };
        let own = |s: &str| s.to_owned();
        let step = match words[..] {
            ["go", "to", a] => Self::Go(product(a)?),
            ["go", "where", "no", "camera", "looks"] => Self::Hide,
            ["take", ref rest @ ..] => take(rest, manner)?,
            ["put", a, "back"] => Self::Put { count: 1, product: product(a)?, at: None, manner },
            ["put", n, a, "back"] => Self::Put { count: count(n)?, product: product(a)?, at: None, manner },
            ["put", a, "at", b] => {
                Self::Put { count: 1, product: product(a)?, at: Some(product(b)?), manner }
            }
            ["put", n, a, "at", b] => {
                Self::Put { count: count(n)?, product: product(a)?, at: Some(product(b)?), manner }
            }
            ["touch", a] => Self::Touch(product(a)?),
            ["leave", a, "on", "the", "floor"] => Self::Drop(product(a)?),
            ["pick", a, "up"] => Self::PickUp(product(a)?),
            ["give", a, "to", who] => Self::Give { product: product(a)?, to: own(who) },
            ["stock", n, a] => Self::Stock(count(n)?, product(a)?),
            ["wait", s, "s"] => Self::Wait(s.parse().context("after wait comes a number of seconds")?),
            ["meet", who] => Self::Meet(own(who)),
            ["wait", "until", who, "has", "left"] => Self::UntilLeft(own(who)),
            ["wait", "until", who, "has", a] => Self::UntilHas(own(who), product(a)?),
            ["wait", "until", who, "is", "rid", "of", a] => Self::UntilRid(own(who), product(a)?),
            ["hurry"] => Self::Hurry,
            ["shop", n] => Self::Shop(count(n)?),
            _ => bail!("no such sentence; docs/design/simulator.md lists them"),
        };
        Ok(step)
    }

    /// The products it speaks of.
    #[must_use]
    pub fn products(&self) -> Vec<&str> {
        match self {
            Self::Go(a)
            | Self::Touch(a)
            | Self::Drop(a)
            | Self::PickUp(a)
            | Self::Give { product: a, .. }
            | Self::Stock(_, a)
            | Self::UntilHas(_, a)
            | Self::UntilRid(_, a) => vec![a],
            Self::Take { what, from, .. } => {
                what.iter().map(|(_, a)| a.as_str()).chain(from.as_deref()).collect()
            }
            Self::Put { product, at, .. } => std::iter::once(product.as_str()).chain(at.as_deref()).collect(),
            Self::Wait(_) | Self::Meet(_) | Self::UntilLeft(_) | Self::Hurry | Self::Hide | Self::Shop(_) => {
                Vec::new()
            }
        }
    }

    /// The other person it speaks of.
    #[must_use]
    pub fn person(&self) -> Option<&str> {
        match self {
            Self::Give { to: who, .. }
            | Self::Meet(who)
            | Self::UntilLeft(who)
            | Self::UntilHas(who, _)
            | Self::UntilRid(who, _) => Some(who),
            _ => None,
        }
    }
}

fn take(words: &[&str], manner: Manner) -> anyhow::Result<Step> {
    let one = |words: &[&str]| -> anyhow::Result<(u32, String)> {
        match words {
            [a] => Ok((1, product(a)?)),
            [n, a] => Ok((count(n)?, product(a)?)),
            _ => bail!("after take comes a product, perhaps with a number before it"),
        }
    };
    if let [rest @ .., "together"] = words {
        let what = rest.split(|w| *w == "and").map(one).collect::<anyhow::Result<Vec<_>>>()?;
        return Ok(Step::Take { what, from: None, manner });
    }
    if let [rest @ .., "from", b] = words {
        return Ok(Step::Take { what: vec![one(rest)?], from: Some(product(b)?), manner });
    }
    Ok(Step::Take { what: vec![one(words)?], from: None, manner })
}

fn product(word: &str) -> anyhow::Result<String> {
    let capital = word.len() == 1 && word.bytes().all(|b| b.is_ascii_uppercase());
    ensure!(capital, "{word:?} is no product; products are capital letters");
    Ok(word.to_owned())
}

fn count(word: &str) -> anyhow::Result<u32> {
    let count: u32 = word.parse().with_context(|| format!("{word:?} is no number"))?;
    ensure!((1..=40).contains(&count), "{count} is not between 1 and 40");
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_read() {
        let take = |what: &[(u32, &str)], from: Option<&str>, manner| Step::Take {
            what: what.iter().map(|(n, a)| (*n, (*a).to_owned())).collect(),
            from: from.map(str::to_owned),
            manner,
        };
        for (sentence, step) in [
            ("take A", take(&[(1, "A")], None, Manner::Usual)),
            ("take 2 A quickly", take(&[(2, "A")], None, Manner::Quickly)),
            ("take A from B", take(&[(1, "A")], Some("B"), Manner::Usual)),
            ("take A and 2 B together", take(&[(1, "A"), (2, "B")], None, Manner::Usual)),
            ("take A after holding it", take(&[(1, "A")], None, Manner::AfterHolding)),
            ("give A to Bob", Step::Give { product: "A".into(), to: "Bob".into() }),
            ("wait 2.5 s", Step::Wait(2.5)),
            ("wait until Bob is rid of A", Step::UntilRid("Bob".into(), "A".into())),
        ] {
            assert_eq!(Step::parse(sentence).unwrap(), step, "{sentence}");
        }
        for wrong in ["", "take", "take apples", "take 0 A", "give A", "dance", "put A"] {
            assert!(Step::parse(wrong).is_err(), "{wrong}");
        }
    }
}
