"""The command line: python -m lvs replay, listing, explain."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import lvs

RULES = "a file of ipvsadm lines (-A, -a and others), - for the standard input"


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line, and return what the program is to end with: 0, 1 for an error, 130 if it is interrupted.

    A wrong line raises SystemExit, with 2.
    """
    options = _parser().parse_args(arguments)
    try:
        command: int = options.command(options)
        sys.stdout.flush()
        return command
    except BrokenPipeError:
        # Whoever reads has enough. What is left would fail once more at the end of the program.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except (lvs.LvsError, OSError) as error:
        what = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else error
        print(f"lvs: {what}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lvs", description="The Linux Virtual Server (IPVS) as a library: what it would do with packets."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    replay = commands.add_parser(
        "replay",
        help="balance the packets of a capture",
        description="Balances the packets of a capture, at the times when they were captured, and prints what became of "
        "them: how many got which verdict, and the listing.",
    )
    replay.add_argument("rules", metavar="RULES", help=RULES)
    replay.add_argument("capture", metavar="PCAP", type=Path, help="a pcap or pcapng file, of Ethernet or raw IP")
    replay.add_argument("--write", metavar="OUT", type=Path, help="write forwarded packets and replies to a pcap file")
    replay.add_argument("--verbose", action="store_true", help="print a line for each packet")
    _common(replay)
    replay.set_defaults(command=_replay)

    listing = commands.add_parser(
        "listing",
        help="read rules and print what ipvsadm -L -n prints",
        description="Reads rules and prints what ipvsadm -L -n prints.",
    )
    listing.add_argument("rules", metavar="RULES", help=RULES)
    listing.add_argument("--save", action="store_true", help="print the rules instead, as ipvsadm -S -n writes them")
    listing.set_defaults(command=_listing)

    explain = commands.add_parser(
        "explain",
        help="say where a packet would go and why",
        description="Says where a packet would go and why.",
    )
    explain.add_argument("rules", metavar="RULES", help=RULES)
    explain.add_argument("packet", metavar="PACKET-HEX", type=_packet, help="the packet from its IP header on, in hex")
    explain.add_argument("--mark", type=_number(32), default=0, help="its firewall mark (default: 0, for none)")
    _common(explain)
    explain.set_defaults(command=_explain)
    return parser


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=_number(64), default=7, help="the seed of random choices (default: 7)")
    parser.add_argument(
        "--tunnel-source", metavar="ADDRESS", action="append", default=[], help="where tunnels begin, IPv4 or IPv6"
    )


def _packet(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise argparse.ArgumentTypeError("a packet is written as hexadecimal digits, two for each byte") from None


def _number(bits: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        try:
            value = int(text, 0)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        if not 0 <= value < 1 << bits:
            raise argparse.ArgumentTypeError(f"{text} is not within 0 to {(1 << bits) - 1}")
        return value

    return number


def _director(options: argparse.Namespace) -> lvs.Director:
    sources = {("tunnel_source_v6" if ":" in source else "tunnel_source_v4"): source for source in options.tunnel_source}
    try:
        director = lvs.Director(seed=options.seed, **sources)
    except ValueError as error:
        raise lvs.LvsError(str(error)) from error
    _load(director, options.rules)
    return director


def _load(director: lvs.Director, path: str) -> None:
    try:
        director.load(sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8"))
    except lvs.RuleError as error:
        raise lvs.LvsError(f"{path}: {error}") from error
    except UnicodeDecodeError as error:
        raise lvs.LvsError(f"{path}: not a text in {error.encoding}") from error


def _listing(options: argparse.Namespace) -> int:
    with lvs.Director(seed=0) as director:
        _load(director, options.rules)
        print(director.save() if options.save else director.listing(), end="")
    return 0


def _explain(options: argparse.Namespace) -> int:
    with _director(options) as director:
        print(director.explain(options.packet, mark=options.mark))
    return 0


def _replay(options: argparse.Namespace) -> int:
    with _director(options) as director:
        capture = lvs.captures.Capture(options.capture)
        if options.write is not None and options.write.exists() and options.write.samefile(options.capture):
            raise lvs.LvsError(f"{options.write}: is the capture that is read")
        verdicts: Counter[str] = Counter()
        sent = _balanced(director, capture, verdicts, options.verbose)
        if options.write is None:
            for _ in sent:
                pass
        else:
            lvs.captures.write(options.write, sent)
        for verdict, count in sorted(verdicts.items()):
            print(f"{count:>8}  {verdict}")
        if capture.skipped:
            print(f"{capture.skipped:>8}  frames without an IP packet")
        print()
        print(director.listing(), end="")
    return 0


def _balanced(
    director: lvs.Director, capture: lvs.captures.Capture, verdicts: Counter[str], verbose: bool
) -> Iterator[tuple[float, bytes]]:
    """The packets that leave, with their times."""
    for number, (time, packet) in enumerate(capture, 1):
        director.advance(time)
        verdict = director.process(packet, now=time)
        match verdict:
            case lvs.Forward(out, next_hop):
                said = f"forward {verdict.direction} ({verdict.method}) to {next_hop}"
                verdicts[f"forward {verdict.direction}"] += 1
                yield time, out
            case lvs.Reply(out, next_hop, reason):
                said = f"reply ({reason}) to {next_hop}"
                verdicts[f"reply ({reason})"] += 1
                yield time, out
            case lvs.Pass(reason):
                said = f"pass ({reason})"
                verdicts[said] += 1
            case lvs.Drop(reason):
                said = f"drop ({reason})"
                verdicts[said] += 1
        if verbose:
            print(f"{number:>8}  {time:.6f}  {said}")


if __name__ == "__main__":
    sys.exit(main())
