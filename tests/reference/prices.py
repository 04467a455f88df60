"""P1 and P2: what reporters say, and when a market believes it."""

from fractions import Fraction

from tests.reference.world import HALTED, LIMIT, Refused, Report, Run, World, ppm


def report(
    world: World, reporter: bytes, market: int, price: int, observed_ms: int, fork_id: int
) -> None:
    """A report counts unless P2 refuses it; a refusal is an event, not a failure."""
    if market not in world.markets or reporter not in world.params.reporters:
        raise Refused
    if world.mode(market) == HALTED:
        raise Refused
    last = world.reports.get((market, reporter))
    if (
        0 < price <= LIMIT
        and observed_ms <= world.time_ms
        and (last is None or observed_ms > last.observed_ms)
        and fork_id == world.chain.fork_id
    ):
        world.reports[market, reporter] = Report(price, observed_ms)


def fresh_reports(world: World, market: int) -> list[Report]:
    """Each reporter's latest, unless it is older than max_age_ms (P1)."""
    age_max = world.market_params[market].price_age_ms_max
    latest = (world.reports.get((market, reporter)) for reporter in world.params.reporters)
    return [each for each in latest if each and world.time_ms - each.observed_ms <= age_max]


def acknowledge(world: World, market: int, price: int) -> int:
    """The council accepts the price that waits as a JUMP; it says which one it has seen."""
    if market not in world.markets or world.mode(market) == HALTED:
        raise Refused
    fresh = fresh_reports(world, market)
    if world.markets[market].jump is None or len(fresh) < world.params.reporter_quorum:
        raise Refused
    candidate = _lower_median(fresh)
    if not is_within(candidate, price, ppm(world.market_params[market].price_move_ppm_max)):
        raise Refused
    _accept(world, market, candidate)
    return candidate


def _lower_median(reports: list[Report]) -> int:
    prices = sorted(each.price for each in reports)
    return prices[(len(prices) - 1) // 2]


def judge_prices(world: World) -> None:
    for market in world.markets:
        if world.mode(market) != HALTED:
            _judge(world, market)


def _judge(world: World, market: int) -> None:
    fresh = fresh_reports(world, market)
    state = world.markets[market]
    if len(fresh) < world.params.reporter_quorum:
        world.change_market(market, stale=True, jump=None)
        return
    candidate = _lower_median(fresh)
    params = world.market_params[market]
    reference = _reference(state.history, state.price, world.time_ms)
    if state.price == 0 or is_within(candidate, reference, ppm(params.price_move_ppm_max)):
        _accept(world, market, candidate)
        return
    up = candidate > reference
    run = state.jump
    if run is None or run.up != up:
        run = Run(up, world.time_ms, world.height)
    lasted = world.time_ms - run.since_ms >= params.price_confirm_ms
    blocks = world.height - run.since_height + 1
    renewed = all(each.observed_ms > run.since_ms for each in fresh)
    if lasted and blocks >= 3 and renewed:
        world.change_market(market, jump=run)
        _accept(world, market, candidate)
    else:
        world.change_market(market, stale=False, jump=run)


def _reference(history: tuple[tuple[int, int], ...], price: int, time_ms: int) -> int:
    """The oldest price that was the accepted one within the last 1,000 ms, else the last one."""
    in_force = price
    for accepted_ms, accepted in reversed(history):
        in_force = accepted
        if accepted_ms <= time_ms - 1_000:
            break
    return in_force


def is_within(candidate: int, reference: int, move_max: Fraction) -> bool:
    return abs(candidate - reference) <= move_max * reference


def _accept(world: World, market: int, price: int) -> None:
    state = world.markets[market]
    history = () if state.jump else state.history  # it starts anew after a JUMP
    kept = (*history, (world.time_ms, price))[-50:]
    world.change_market(market, price=price, history=kept, stale=False, jump=None)
