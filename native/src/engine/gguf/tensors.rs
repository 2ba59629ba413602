//! The list of tensors: every one has a known type and lies inside of the file.

use std::io::Read;

use super::reader::Reader;
use super::{EngineError, broken};
use crate::engine::llama;

/// More tensors than any model has.
pub(super) const TENSORS_MAX: u64 = 1 << 18;
const DIMENSIONS_MAX: u32 = 4;
const F32: u32 = 0;

/// Reads the list and checks that the file holds every tensor whole.
pub(super) fn check_tensors<R: Read>(
    reader: &mut Reader<R>,
    count: u64,
    alignment: u64,
) -> Result<(), EngineError> {
    if count == 0 {
        return Err(broken("the file holds no tensors"));
    }
    let mut end = 0;
    for _ in 0..count {
        end = end.max(read_tensor(reader, alignment)?);
    }
    let data = reader.position().next_multiple_of(alignment);
    let needed_bytes = data.saturating_add(end);
    if needed_bytes > reader.file_bytes() {
        return Err(EngineError::Truncated { needed_bytes, actual_bytes: reader.file_bytes() });
    }
    Ok(())
}

/// Where the tensor ends, counted from the beginning of all tensors.
fn read_tensor<R: Read>(reader: &mut Reader<R>, alignment: u64) -> Result<u64, EngineError> {
    let name = reader.text()?;
    let mut dimensions = [1; DIMENSIONS_MAX as usize];
    let given = reader.u32()?;
    if given > DIMENSIONS_MAX {
        return Err(broken(format!("tensor `{name}` has {given} dimensions")));
    }
    for dimension in &mut dimensions[..given as usize] {
        *dimension = reader.u64()?;
    }
    let number = reader.u32()?;
    if given == 1 && number != F32 && name.ends_with("norm.weight") {
        // llama.cpp loads these and aborts when it computes with them.
        return Err(broken(format!("tensor `{name}` has the type {number}")));
    }
    let offset = reader.u64()?;
    if !offset.is_multiple_of(alignment) {
        return Err(broken(format!("tensor `{name}` is not aligned")));
    }
    let end = bytes(number, dimensions).and_then(|bytes| bytes.checked_add(offset));
    end.ok_or_else(|| broken(format!("tensor `{name}`: {dimensions:?} of type {number}")))
}

/// Size of a tensor; none if the type is unknown or the size is not a size.
fn bytes(number: u32, dimensions: [u64; DIMENSIONS_MAX as usize]) -> Option<u64> {
    let (block, block_bytes) = llama::tensor_block(number)?;
    if dimensions.contains(&0) || !dimensions[0].is_multiple_of(block) {
        return None;
    }
    let values = dimensions.iter().try_fold(1, |all: u64, one| all.checked_mul(*one))?;
    (values / block).checked_mul(block_bytes)
}
