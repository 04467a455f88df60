"""The rules of the exchange, in words and in reading order.

Pure functions over `perp.ledger.Ledger`: integers in, integers out, no clock, no store, no log.
`compute_` takes numbers and records, `get_` reads the ledger, `is_` answers, `process_` changes.
Who may not do what he asks for gets a Refusal (`node.errors`), and nothing has changed. The numbers
are those that code, tests and disputes cite; each rule's exact formula and rounding stand with the
function that carries it out.

Units (`node.units`). Collateral counts in atoms (1e-6 USDC), sizes in signed lots, prices in ticks;
lots · ticks · K is exact, so only funding, fees and margins round, each by name.

Accounts and money (`account`)
  M1  One cross-margin account per address. The vault, the fees, the deficit, the refunds, the
      bridge and each market's funding pool are accounts too. Money moves by journal entries that
      sum to zero.
  M2  A balance is signed: buying lowers it by the notional, selling raises it. Equity is the
      balance, the positions at the mark and the funding that is pending.
  M3  Deposits and withdrawals move between tokens and margin. What stays after a withdrawal must
      carry the initial margin and a tenth of the open notional, at the less favourable of mark and
      oracle; everything it touches must be OPEN.
  M4  An account may let agents trade for it, until a time and never withdraw, and may ask of itself
      a larger initial margin than a market does (`agent`, `leverage`).

Markets, modes and prices (`market`, `parameters`, `status`, `modes`, `decrees`, `maintenance`,
`closure`, `oracle`, `mark`)
  Modes  OPEN, POST_ONLY, CANCEL_ONLY, HALTED: the stricter of chain and market wins.
  X1  The council halts the chain at the end of a block, and it stands until the council resumes it.
      What it sets (`decrees`) takes effect at the block's end, and X2 leads no further toward OPEN.
  X2  Gaps between blocks, stale and jumping prices close a market; time and a quorum reopen it.
  X3  A maintenance window walks the chain to HALTED and back at its heights and time.
  X4  After every return to OPEN, liquidations and triggers wait for the grace period.
  X5  A market ends by the council's word: every position is closed at one price, for ever.
  P1  A market's candidate price is the lower median of its reporters' fresh reports.
  P2  A report counts unless it is malformed, late or of another fork; a price that jumps must be
      confirmed.
  P3  The mark is the median of the oracle price, of how far the book stood from it for 150 s, and
      of book and last trade: within a band, and the oracle price where the book is too thin.

Funding (`funding`)
  F1  Each block samples how far the book's impact prices are from the oracle.
  F2  Once an interval the samples become the rate.
  F3  Each OPEN block moves the index by rate and elapsed time; nothing else does.
  F4  A position is paid when it is touched, floored; what the floors leave is the market's dust.

Margin (`margin`)
  G1  Initial margin is a fraction of the notional that grows with the position's size, and for new
      risk with the market's open interest. Maintenance margin is a fraction of it.
  G2  What rests reserves: the larger of all buys with the position and all sells against it, the
      taker fee on it, and the loss of orders priced through the mark.
  G3  A fill needs equity ≥ initial margin after it, or reduces risk for no more than its share of
      the equity. An order may rest if equity carries it, or if it asks for nothing more.
  G4  A maker is tested again at the match; one that fails is cancelled and matching goes on.
  G5  What equity no longer carries is cancelled, the most passive orders first (`shedding`).

Orders (`order`, `book`, `limits`, `trading`, `matching`, `fill`, `follow`, `fee`, `settlement`,
        `amending`, `cancelling`, `expiry`, `trigger`, `pair`)
  O1  Limit orders that rest, for good or until a time, are immediate, whole or nothing, or only
      post; market orders; take-profit and stop-loss with or without a limit price, alone or in
      pairs of which one trades; stop orders; reduce-only; client ids; amending; cancelling by
      number or client id, all in a market, all, and all of whoever goes silent.
  O2  Price, then time, at the maker's price. Who meets his own order cancels it, or asks for
      something else. Reduce-only orders and triggers follow the position.
  O3  Fees are ceiled for who pays and floored for who receives; a rebate is never larger than the
      taker's fee. Liquidations pay no taker fee and get nobody a rebate.
  O4  Aggressive orders trade within a band around the mark; passive ones are free.
  O5  Triggers look at the block's mark and enter the next block ahead of other takers.
  O7  An order below the minimum value must close its position. Open orders, orders in a block,
      positions and a market's open interest have limits.
  O8  Liquidations, triggers and a taker's removals of makers are bounded in each block.

Liquidation (`liquidation`, `health`, `watch`, `bankruptcy`, `vault`, `deleveraging`)
  L1  Below maintenance margin, the lowest equity/MM goes first.
  L2  A part of one position at a time, at a price that leaves equity/MM no lower.
  L3  What then stands far below its margin the vault takes over, if it can carry it, and works off
      in small orders near the mark.
  L4  What nobody could take closes against the other side, who gained most first, zero-sum.
  L5  A fill, its fee and the vault's part are one entry; the vault is never driven below zero.
  L6  A debt without a position is paid by the vault as far as it can, the rest is the deficit.

Repayment (`compensation`)
  I8  What the council signed to be refunded leaves the vault at once, as far as its equity goes
      (L5), waits in the system account Refunds, reaches each account once, and returns to the vault
      when its time is over.

Invariants (`invariants`)
  I1 to I9 are functions of production: whoever seals or signs a block has asked them.

What is said is told by `events`; what is shown to readers by `view`, with the same functions.
"""
