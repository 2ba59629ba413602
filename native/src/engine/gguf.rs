//! Reads the header of a GGUF file and refuses what llama.cpp would abort, panic or hang on.
//!
//! llama.cpp answers most broken files with a clean error, which is left to it. Checked here is
//! what ends the process instead: counts out of range, values that are not numbers, contradictions
//! between keys, and tensors that lie outside of the file.
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

use std::io::Read;

use super::EngineError;
use keys::Keys;
use reader::Reader;
use tensors::check_tensors;

mod keys;
mod reader;
mod tensors;

/// The most layers that llama.cpp keeps arrays for (`LLAMA_MAX_LAYERS`).
const LAYERS_MAX: u64 = 512;
/// The most experts of a layer (`LLAMA_MAX_EXPERTS`).
const EXPERTS_MAX: u64 = 1024;
/// Larger windows are no model's; llama.cpp would take them and hang.
const WINDOW_TOKENS_MAX: u64 = 1 << 28;
const EMBEDDING_MAX: u64 = 1 << 20;
const HEADS_MAX: u64 = 1 << 16;

/// Architectures that embed, speak or draw: they write no text.
const MUTE_ARCHITECTURES: [&str; 21] = [
    "bert",
    "clef",
    "clip",
    "dflash",
    "dream",
    "eagle3",
    "eurobert",
    "gemma-embedding",
    "jina-bert-v2",
    "jina-bert-v3",
    "llada",
    "llada-moe",
    "llama-embed",
    "modern-bert",
    "neo-bert",
    "nomic-bert",
    "nomic-bert-moe",
    "rnd1",
    "t5",
    "t5encoder",
    "wavtokenizer-dec",
];

/// Architectures whose graph asserts one head size for keys and values.
const ONE_HEAD_SIZE: [&str; 3] = ["llama", "qwen2", "qwen3"];

/// The header of a servable model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The architecture, as `llama` or `qwen3`.
    pub architecture: String,
    /// The name that the model's makers gave it, if any.
    pub name: Option<String>,
    /// The context length it was trained for, in tokens.
    pub window_tokens: u32,
    /// Size of the file.
    pub file_bytes: u64,
    /// What one token of context costs in the KV cache, at 16 bits per value; 0 where the
    /// architecture keeps no such cache.
    pub kv_bytes_per_token: u64,
    /// Whether the file brings its own chat template.
    pub has_chat_template: bool,
}

/// Checks the header of the model in `file`, which is `file_bytes` long.
///
/// # Errors
/// [`EngineError::NotGguf`], [`EngineError::Truncated`], [`EngineError::Broken`] or
/// [`EngineError::Unreadable`].
pub fn check(file: impl Read, file_bytes: u64) -> Result<Header, EngineError> {
    let mut reader = Reader::new(file, file_bytes);
    reader.magic()?;
    reader.version()?;
    let tensors = reader.count("tensor count", tensors::TENSORS_MAX)?;
    let keys = reader.count("key count", keys::KEYS_MAX)?;
    let keys = Keys::read(&mut reader, keys)?;
    check_tensors(&mut reader, tensors, keys.alignment()?)?;
    check_values(&keys, file_bytes)
}

/// An error that names what is wrong with the file.
fn broken(what: impl Into<String>) -> EngineError {
    EngineError::Broken { what: what.into() }
}

fn check_values(keys: &Keys, file_bytes: u64) -> Result<Header, EngineError> {
    let architecture = keys.text("general.architecture")?.to_string();
    if MUTE_ARCHITECTURES.contains(&architecture.as_str()) {
        return Err(broken(format!("a `{architecture}` model does not write text")));
    }
    let arch = Architecture { name: &architecture, keys };
    let window = arch.required("context_length", 1..=WINDOW_TOKENS_MAX)?;
    let shape = arch.shape()?;
    arch.check_experts(shape.layers)?;
    arch.check_rope()?;
    keys.check_floats(&format!("{architecture}."))?;
    arch.check_epsilon()?;
    keys.check_vocabulary()?;
    Ok(Header {
        name: keys.text("general.name").ok().map(str::to_string),
        window_tokens: u32::try_from(window).expect("bounded above"),
        file_bytes,
        kv_bytes_per_token: shape.kv_bytes_per_token(),
        has_chat_template: keys.text("tokenizer.chat_template").is_ok(),
        architecture,
    })
}

/// The values of an architecture, whose keys begin with its name.
struct Architecture<'k> {
    name: &'k str,
    keys: &'k Keys,
}

/// The sizes that decide the memory of a context.
struct Shape {
    layers: u64,
    /// Heads of keys and values, one entry per layer or one for all.
    kv_heads: Vec<u64>,
    key_length: u64,
    value_length: u64,
}

impl Shape {
    fn kv_bytes_per_token(&self) -> u64 {
        let heads = match self.kv_heads.as_slice() {
            [all] => all * self.layers,
            each => each.iter().sum(),
        };
        heads * (self.key_length + self.value_length) * size_of::<u16>() as u64
    }
}

impl Architecture<'_> {
    fn key(&self, suffix: &str) -> String {
        format!("{}.{suffix}", self.name)
    }

    fn required(
        &self,
        suffix: &str,
        bounds: std::ops::RangeInclusive<u64>,
    ) -> Result<u64, EngineError> {
        let key = self.key(suffix);
        let value =
            self.keys.integer(&key)?.ok_or_else(|| broken(format!("`{key}` is missing")))?;
        if bounds.contains(&value) {
            return Ok(value);
        }
        let (least, most) = bounds.into_inner();
        Err(broken(format!("`{key}` is {value}, expected {least} to {most}")))
    }

    fn optional(&self, suffix: &str) -> Result<Option<u64>, EngineError> {
        self.keys.integer(&self.key(suffix))
    }

    fn shape(&self) -> Result<Shape, EngineError> {
        let layers = self.required("block_count", 1..=LAYERS_MAX)?;
        let embedding = self.required("embedding_length", 1..=EMBEDDING_MAX)?;
        let heads = self.heads("attention.head_count")?;
        let kv_heads = self.heads("attention.head_count_kv")?.or_else(|| heads.clone());
        // Layers without attention have no heads, so the widest layer gives the size of a head.
        let widest = heads.iter().flatten().copied().max().unwrap_or(0);
        let default_length = embedding.checked_div(widest).unwrap_or(0);
        let length = |suffix| {
            let length = self.optional(suffix)?.unwrap_or(default_length);
            if length > EMBEDDING_MAX {
                return Err(broken(format!("`{}` is {length}", self.key(suffix))));
            }
            Ok(length)
        };
        let key_length = length("attention.key_length")?;
        let value_length = length("attention.value_length")?;
        if ONE_HEAD_SIZE.contains(&self.name) {
            self.check_heads(&heads, &kv_heads, key_length, value_length)?;
        }
        Ok(Shape { layers, kv_heads: kv_heads.unwrap_or_default(), key_length, value_length })
    }

    /// A count of heads, given for all layers or for each.
    fn heads(&self, suffix: &str) -> Result<Option<Vec<u64>>, EngineError> {
        let key = self.key(suffix);
        let heads = self.keys.integers(&key)?;
        match heads.iter().flatten().find(|&&heads| heads > HEADS_MAX) {
            Some(heads) => Err(broken(format!("`{key}` is {heads}, expected up to {HEADS_MAX}"))),
            None => Ok(heads),
        }
    }

    fn check_heads(
        &self,
        heads: &Option<Vec<u64>>,
        kv_heads: &Option<Vec<u64>>,
        key_length: u64,
        value_length: u64,
    ) -> Result<(), EngineError> {
        let (Some(heads), Some(kv_heads)) = (heads, kv_heads) else {
            return Err(broken(format!("`{}` is missing", self.key("attention.head_count"))));
        };
        let fit = |heads: &u64, kv: &u64| *heads > 0 && *kv > 0 && heads.is_multiple_of(*kv);
        let every = |wide: &[u64], narrow: &[u64]| {
            wide.iter().zip(narrow.iter().cycle()).all(|(heads, kv)| fit(heads, kv))
        };
        let all_fit = match kv_heads.len() > heads.len() {
            true => kv_heads.iter().zip(heads.iter().cycle()).all(|(kv, heads)| fit(heads, kv)),
            false => every(heads, kv_heads),
        };
        if !all_fit {
            return Err(broken("the heads of keys and values do not divide the heads"));
        }
        if key_length == 0 || key_length != value_length {
            return Err(broken(format!("heads of {key_length} keys and {value_length} values")));
        }
        Ok(())
    }

    fn check_experts(&self, layers: u64) -> Result<(), EngineError> {
        let experts = self.optional("expert_count")?.unwrap_or(0);
        let used = self.keys.integers(&self.key("expert_used_count"))?.unwrap_or_default();
        let used = used.into_iter().max().unwrap_or(0);
        let groups = self.optional("expert_group_count")?.unwrap_or(0);
        let groups_used = self.optional("expert_group_used_count")?.unwrap_or(0);
        let counts_fit = experts <= EXPERTS_MAX && used <= experts && (experts == 0) == (used == 0);
        let groups_fit = match groups {
            0 => true,
            1 => experts > 1,
            _ => {
                groups < experts
                    && experts.is_multiple_of(groups)
                    && (1..groups).contains(&groups_used)
            }
        };
        if !counts_fit || !groups_fit {
            return Err(broken(format!("{used} of {experts} experts in {groups} groups")));
        }
        let predicted = self.optional("nextn_predict_layers")?.unwrap_or(0);
        if predicted > layers {
            return Err(broken(format!("{predicted} prediction layers of {layers}")));
        }
        Ok(())
    }

    fn check_rope(&self) -> Result<(), EngineError> {
        match self.keys.text(&self.key("rope.scaling.type")) {
            Err(_) | Ok("none" | "linear" | "yarn" | "longrope") => Ok(()),
            Ok(other) => Err(broken(format!("rope scaling `{other}`"))),
        }
    }

    fn check_epsilon(&self) -> Result<(), EngineError> {
        for suffix in ["attention.layer_norm_rms_epsilon", "attention.layer_norm_epsilon"] {
            let key = self.key(suffix);
            match self.keys.float(&key)? {
                Some(epsilon) if !(0.0..1.0).contains(&epsilon) => {
                    return Err(broken(format!("`{key}` is {epsilon}")));
                }
                Some(_) | None => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
