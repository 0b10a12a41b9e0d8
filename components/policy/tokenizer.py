"""A character tokenizer saved in the standard format, so that ``AutoTokenizer`` opens it anywhere."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

__all__ = ["EOS", "PAD", "UNK", "build_character_tokenizer"]

PAD, EOS, UNK = "<pad>", "<eos>", "<unk>"


def build_character_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Tokenizer with one token per distinct character of ``texts``, plus padding, end-of-sequence and unknown.

    Byte-pair encoding without merges is exactly a character tokenizer, and every reader of ``tokenizer.json`` has it.
    """
    characters = sorted({character for text in texts for character in text})
    vocabulary = {token: index for index, token in enumerate([PAD, EOS, UNK, *characters])}
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=[], unk_token=UNK))
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=EOS, unk_token=UNK, padding_side="left"
    )
