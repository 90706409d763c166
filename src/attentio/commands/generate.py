"""attentio generate RUN "prompt": how a causal language model continues a text, written as it is drawn."""

import argparse
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from attentio.commands.numbers import Beam, Count, RepetitionPenalty, Seed, Share, Temperature
from attentio.commands.words import said

TAKES_OVERRIDES = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "In this order: repetition penalty, temperature, top-k, top-p, min-p. Several samples are separated by ---.\n"
        "The seed is reported on standard error; giving it with --seed draws the same text again."
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="a run, of a causal language model")
    parser.add_argument("prompt", nargs="?", default="", help="what the text begins with (default: nothing)")
    parser.add_argument(
        "--max-tokens", type=Count, default=256, metavar="N", help="maximum number of tokens (default: 256)"
    )
    parser.add_argument("--samples", type=Beam, default=1, metavar="N", help="how many texts (default: 1)")
    parser.add_argument("--seed", type=Seed, metavar="N", help="of the random numbers (default: a fresh one)")
    parser.add_argument("--temperature", type=Temperature, default=1.0, metavar="T", help="0 is greedy (default: 1)")
    parser.add_argument("--greedy", action="store_true", help="always the most probable token: --temperature 0")
    parser.add_argument("--top-k", type=Count, metavar="K", help="draw from the K most probable tokens")
    parser.add_argument(
        "--top-p", type=Share, metavar="P", help="draw from the fewest tokens that make up P of the probability"
    )
    parser.add_argument(
        "--min-p", type=Share, metavar="P", help="draw from tokens at least P times as probable as the best"
    )
    parser.add_argument(
        "--repetition-penalty",
        type=RepetitionPenalty,
        default=1.0,
        metavar="X",
        help="above 1: tokens that are already in the text become less probable (default: 1)",
    )


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> int:
    from attentio.decoding.sampling import Sampling
    from attentio.errors import AttentioError
    from attentio.runs.generator import CausalRun
    from attentio.runs.load import load_as

    try:
        sampling = Sampling(
            temperature=0.0 if arguments.greedy else float(arguments.temperature),
            top_k=arguments.top_k,
            top_p=arguments.top_p,
            min_p=arguments.min_p,
            repetition_penalty=float(arguments.repetition_penalty),
        )
    except ValueError as error:
        raise AttentioError(str(error)) from None
    trained = load_as(
        CausalRun,
        arguments.run,
        checkpoint=arguments.checkpoint,
        device=arguments.device,
        allow_code=arguments.allow_code,
    )
    seed = secrets.randbelow(2**31) if arguments.seed is None else arguments.seed
    started = time.perf_counter()
    tokens = 0
    if arguments.samples == 1:
        for piece in trained.stream(arguments.prompt, sampling, max_tokens=arguments.max_tokens, seed=seed):
            print(piece.text, end="", flush=True)
            tokens += 1
        print()
    else:
        found = trained.generate(
            arguments.prompt, sampling, samples=arguments.samples, max_tokens=arguments.max_tokens, seed=seed
        )
        print("\n---\n".join(one.text for one in found))
        tokens = sum(len(one.tokens) for one in found)
    seconds = time.perf_counter() - started
    told = f"{tokens:,} tokens in {seconds:.1f} s, {tokens / seconds:,.0f} per second; seed {seed}"
    print(said(told), file=sys.stderr)
    return 0
