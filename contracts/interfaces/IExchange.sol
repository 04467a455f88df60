// SPDX-License-Identifier: MIT
pragma solidity ^0.8.4;

import {IGovernance} from "./IGovernance.sol";
import {ISystem} from "./ISystem.sol";

/// @title Margin accounts, positions, orders and funding, at 0x1002
/// @notice One cross-margin account per address. Orders of all callers match in one book a market,
/// by price and time, at the maker's price.
interface IExchange is ISystem {
    /// @notice What happens to what does not trade at once.
    enum TimeInForce {
        GTC, // rests until cancelled
        IOC, // is cancelled
        POST_ONLY, // rests; refused if it would trade
        FOK, // refuses the order
        GTT // rests until its expiry
    }

    /// @notice What happens when an arriving order meets one of its own account.
    enum SelfTrade {
        CANCEL_MAKER, // the resting order leaves, matching goes on
        EXPIRE_TAKER, // the rest of the arriving order leaves
        CANCEL_BOTH
    }

    /// @notice Which side of its trigger price fires a trigger.
    enum TriggerKind {
        STOP_LOSS, // the mark moved against the position that it closes
        TAKE_PROFIT // the mark moved in favour of the position that it closes
    }

    /// @notice Why an order or trigger left without a fill.
    enum CancelReason {
        REQUESTED, // by its owner
        SELF_TRADE, // met by its owner's own taker
        MARGIN, // its owner could not carry the fill
        REDUCE_ONLY, // nothing is left to reduce
        IMMEDIATE, // the rest of an IOC, market or triggered order
        MAKER_LIMIT, // the taker met its maximum of makers
        LIQUIDATION, // before its owner's liquidation
        MODE, // too aggressive for POST_ONLY mode
        PRICE_BAND, // the rest of an aggressive order met the price band
        FORK, // a fork cancels all but take-profits and stop-losses
        GOVERNANCE, // the council cancelled it
        EXPIRED, // its time was over
        PAIR, // the pair's other leg was filled
        PARENT, // its parent order left without a fill
        DEADLINE, // its owner did not renew the dead-man's cancel
        LIMIT, // it would pass the market's maximum position or open interest
        UNCOVERED, // its owner's equity no longer carries it
        SETTLEMENT // its market was closed for ever
    }

    /// @notice A margin account at the present marks.
    struct Account {
        int256 balance; // signed quote balance: buying lowers it by the notional
        int256 equity; // balance, positions at mark, and pending funding
        uint256 initialMargin; // what positions and resting orders need
        uint256 maintenanceMargin; // below it the account is liquidated
    }

    /// @notice A position; all zero when flat.
    struct Position {
        int64 size; // positive is long
        int256 entryValue; // what the open size cost, signed like the size
        int256 fundingIndex; // the market's index at the last settlement
        int256 pendingFunding; // what settling now would pay the account, floored
    }

    /// @notice A resting order.
    struct Order {
        address owner;
        int64 size; // what remains; positive buys
        int64 price;
        bool reduceOnly;
        uint64 height; // the block in which it came to rest
        uint64 clientId; // its owner's own number; 0: none
        uint64 expiresMs; // the block time from which on it is gone; 0: never
        bool postOnly; // an amendment must not take either
    }

    /// @notice A waiting or fired take-profit or stop-loss.
    struct Trigger {
        address owner;
        int64 size; // what remains to be closed; positive buys
        int64 triggerPrice;
        TriggerKind kind;
        int64 firedMark; // the mark that fired it; 0 while it waits
        int64 limitPrice; // the worst price at which it trades; 0: a market order's
        bool reduceOnly; // whether it only closes a position
        uint64 expiresMs; // the block time from which on it is gone; 0: never
        uint64 clientId; // its owner's own number; 0: none
        uint64 other; // the pair's other leg while it is open, else 0
        uint64 parent; // the resting order whose fills activate it; 0: none, or no more
        int64 pending; // how many lots of the size wait for the parent's fills
    }

    /// @notice What an order asks for.
    struct OrderRequest {
        uint32 market;
        int64 size; // positive buys
        int64 price;
        TimeInForce timeInForce;
        bool reduceOnly;
        uint64 expiresMs; // GTT needs it, POST_ONLY may have it; 0: never
        uint64 clientId; // unique among what the account has open, fits 53 bits; 0: none
        SelfTrade selfTrade;
    }

    /// @notice What a take-profit or stop-loss asks for.
    struct TriggerRequest {
        uint32 market;
        int64 size; // positive buys
        int64 triggerPrice; // the mark that fires it, inclusive
        TriggerKind kind;
        int64 limitPrice; // the worst price at which it trades; 0: a market order's
        bool reduceOnly; // false: it may open a position too
        uint64 expiresMs; // 0: never
        uint64 clientId; // 0: none
    }

    /// @notice One leg of a pair; it always closes only.
    struct Leg {
        int64 triggerPrice; // the mark that fires it, inclusive
        int64 limitPrice; // the worst price at which it trades; 0: a market order's
        uint64 clientId; // 0: none
    }

    /// @notice What one action of a batch did.
    struct Result {
        bool success;
        bytes output; // what the action returned, or the error with which it was refused
    }

    /// @notice Who may trade for an account.
    struct Agent {
        address agent;
        uint64 expiresMs; // the block time from which on it may no more
    }

    /// @notice A market: how to convert its units, and its present state.
    struct Market {
        string symbol; // "BTC-USD"
        uint8 lotDecimals; // one lot is 10^-lotDecimals of the base asset
        uint8 tickDecimals; // one tick is 10^-tickDecimals USD
        uint64 k; // atoms per lot and tick: notional = size * price * k, exact
        IGovernance.Mode mode; // the stricter of the market's and the chain's
        int64 mark; // 0 before the first accepted price
        int64 bestBid; // 0 without buys
        int64 bestAsk; // 0 without sells
        int64 openInterest; // the sum of all long sizes
        int64 fundingRatePpb; // per 8 hours; positive: longs pay shorts
        int256 fundingIndex; // cumulative, 1e-9 atoms per lot
    }

    /// @notice Tokens became margin.
    /// @param account Whose.
    /// @param amount Atoms.
    event Deposited(address indexed account, uint256 amount);

    /// @notice Margin became tokens.
    /// @param account Whose.
    /// @param amount Atoms.
    event Withdrawn(address indexed account, uint256 amount);

    /// @notice An order was taken; what rests of it is its size without its fills.
    /// @param market The market.
    /// @param account Whose order.
    /// @param orderId Counts from 1 in each market; also the time priority.
    /// @param size Signed lots; positive buys.
    /// @param price Ticks; a market order's is its bound.
    /// @param timeInForce What happens to what does not trade at once.
    /// @param reduceOnly Whether it may only close a position.
    /// @param expiresMs The block time from which on it is gone; 0: never.
    /// @param clientId Its owner's own number; 0: none.
    event OrderPlaced(
        uint32 indexed market,
        address indexed account,
        uint64 orderId,
        int64 size,
        int64 price,
        TimeInForce timeInForce,
        bool reduceOnly,
        uint64 expiresMs,
        uint64 clientId
    );

    /// @notice An order goes on under a new number: amended, or a stop order that came to rest.
    /// @param market The market.
    /// @param account Whose order.
    /// @param orderId The number that it had.
    /// @param newOrderId The number that it has, later in time; the old one if it kept its place.
    /// @param size What remains, before the fills of the new number; positive buys.
    /// @param price Ticks.
    event OrderReplaced(
        uint32 indexed market,
        address indexed account,
        uint64 orderId,
        uint64 newOrderId,
        int64 size,
        int64 price
    );

    /// @notice A take-profit or stop-loss waits.
    /// @param market The market.
    /// @param account Whose trigger.
    /// @param orderId Of the same sequence as orders.
    /// @param size What it trades; positive buys.
    /// @param triggerPrice The mark that fires it, inclusive.
    /// @param kind Which side fires.
    /// @param limitPrice The worst price at which it trades; 0: a market order's.
    /// @param reduceOnly Whether it only closes a position.
    /// @param expiresMs The block time from which on it is gone; 0: never.
    /// @param clientId Its owner's own number; 0: none.
    /// @param other The pair's other leg; 0: none.
    /// @param parent The resting order whose fills activate it; 0: none.
    event TriggerPlaced(
        uint32 indexed market,
        address indexed account,
        uint64 orderId,
        int64 size,
        int64 triggerPrice,
        TriggerKind kind,
        int64 limitPrice,
        bool reduceOnly,
        uint64 expiresMs,
        uint64 clientId,
        uint64 other,
        uint64 parent
    );

    /// @notice A fill of its parent order activated some of a leg.
    /// @param market The market.
    /// @param account Whose.
    /// @param orderId The leg.
    /// @param size What it may close now.
    event TriggerActivated(
        uint32 indexed market,
        address indexed account,
        uint64 orderId,
        int64 size
    );

    /// @notice An account arms, renews or disarms its dead-man's cancel.
    /// @param account Whose.
    /// @param cancelAtMs The block time at which everything is cancelled; 0: disarmed.
    event DeadlineSet(address indexed account, uint64 cancelAtMs);

    /// @notice An account did not renew its dead-man's cancel: all that it had open is cancelled.
    /// @param account Whose.
    /// @param cancelAtMs The block time that has come.
    event DeadlinePassed(address indexed account, uint64 cancelAtMs);

    /// @notice An account set its own initial margin fraction.
    /// @param market The market.
    /// @param account Whose.
    /// @param initialMarginPpm Millionths of the notional; 0: the market's alone.
    event OwnMarginSet(uint32 indexed market, address indexed account, uint32 initialMarginPpm);

    /// @notice An account lets an agent trade for it.
    /// @param account Whose.
    /// @param agent Who may.
    /// @param expiresMs The block time from which on it may no more.
    event AgentAuthorized(address indexed account, address indexed agent, uint64 expiresMs);

    /// @notice An account takes its leave back.
    /// @param account Whose.
    /// @param agent Who may no more.
    event AgentRevoked(address indexed account, address indexed agent);

    /// @notice A batch was carried out, each action by itself.
    /// @param account For whom.
    /// @param sender By whom: the account, or its agent.
    /// @param results What each action did, in order.
    event BatchExecuted(address indexed account, address indexed sender, Result[] results);

    /// @notice A taker met a resting order, at the maker's price.
    /// @param market The market.
    /// @param maker Whose order rested.
    /// @param taker Whose order arrived.
    /// @param makerOrderId The resting order.
    /// @param takerOrderId The arriving one; 0 for a liquidation.
    /// @param size Signed as the taker's: positive means the taker bought.
    /// @param price The maker's, in ticks.
    /// @param makerFee Atoms; negative is a rebate.
    /// @param takerFee Atoms.
    /// @param liquidation Whether the taker was a liquidation.
    event OrderFilled(
        uint32 indexed market,
        address indexed maker,
        address indexed taker,
        uint64 makerOrderId,
        uint64 takerOrderId,
        int64 size,
        int64 price,
        int256 makerFee,
        int256 takerFee,
        bool liquidation
    );

    /// @notice An order or trigger left.
    /// @param market The market.
    /// @param account Whose.
    /// @param orderId The order or trigger.
    /// @param size What remained, signed.
    /// @param reason Why.
    event OrderCancelled(
        uint32 indexed market,
        address indexed account,
        uint64 orderId,
        int64 size,
        CancelReason reason
    );

    /// @notice A resting reduce-only order was shrunk to the position that it may close.
    /// @param market The market.
    /// @param account Whose.
    /// @param orderId The order.
    /// @param sizeBefore What remained.
    /// @param size What remains.
    event OrderReduced(
        uint32 indexed market,
        address indexed account,
        uint64 orderId,
        int64 sizeBefore,
        int64 size
    );

    /// @notice A take-profit or stop-loss fired; its order enters the next block.
    /// @param market The market.
    /// @param account Whose.
    /// @param orderId The trigger.
    /// @param mark The mark that fired it.
    event OrderTriggered(
        uint32 indexed market,
        address indexed account,
        uint64 orderId,
        int64 mark
    );

    /// @notice A liquidation order filled some of a position.
    /// @param market The market.
    /// @param account Who was liquidated.
    /// @param size What was closed, signed as the liquidation order.
    /// @param proceeds What the account got, signed.
    /// @param bankruptcyQuote What it was due, signed.
    /// @param vaultPayment Positive: the account's fee to the vault; negative: the vault paid.
    event PositionLiquidated(
        uint32 indexed market,
        address indexed account,
        int64 size,
        int256 proceeds,
        int256 bankruptcyQuote,
        int256 vaultPayment
    );

    /// @notice A market was closed for ever, every position at one price.
    /// @param market The market.
    /// @param price Ticks.
    event MarketSettled(uint32 indexed market, int64 price);

    /// @notice A position was closed at the settlement price of its market.
    /// @param market The market.
    /// @param account Whose.
    /// @param size What was closed, signed as the position.
    /// @param proceeds What the account got, signed.
    event PositionSettled(
        uint32 indexed market,
        address indexed account,
        int64 size,
        int256 proceeds
    );

    /// @notice The funding index moved.
    /// @param market The market.
    /// @param indexBefore The index, 1e-9 atoms per lot.
    /// @param index The new one.
    /// @param ratePpb The rate that moved it, per 8 hours.
    /// @param elapsedMs For how long.
    event FundingAccrued(
        uint32 indexed market,
        int256 indexBefore,
        int256 index,
        int64 ratePpb,
        uint64 elapsedMs
    );

    /// @notice A new funding rate holds for the next interval.
    /// @param market The market.
    /// @param ratePpbBefore The rate, per 8 hours.
    /// @param ratePpb The new one.
    /// @param premiumPpb The interval's average premium.
    event FundingRateSet(
        uint32 indexed market,
        int64 ratePpbBefore,
        int64 ratePpb,
        int64 premiumPpb
    );

    /// @notice A position's funding was paid.
    /// @param market The market.
    /// @param account Whose position.
    /// @param cash Atoms; positive was received by the account.
    /// @param index The index at which it is settled now.
    event FundingSettled(
        uint32 indexed market,
        address indexed account,
        int256 cash,
        int256 index
    );

    /// @notice No market has this id.
    /// @param market The id.
    error MarketNotFound(uint32 market);

    /// @notice The account has no such order or trigger.
    /// @param market The market.
    /// @param orderId The id.
    error OrderNotFound(uint32 market, uint64 orderId);

    /// @notice The account's equity would not carry the margin required.
    /// @param account Whose margin.
    /// @param equity Atoms.
    /// @param required Atoms.
    error InsufficientMargin(address account, int256 equity, uint256 required);

    /// @notice The margin account can't pay this much out.
    /// @param account Whose margin.
    /// @param available Atoms.
    /// @param needed Atoms.
    error InsufficientBalance(address account, int256 available, uint256 needed);

    /// @notice Withdrawals are closed for a while after a gap, a fork or a new deficit.
    /// @param untilMs The block time from which they are open.
    error WithdrawalsClosed(uint64 untilMs);

    /// @notice A size must not be zero, and must fit 53 bits.
    /// @param size Lots.
    error InvalidSize(int64 size);

    /// @notice A price must be positive, and fit 53 bits.
    /// @param price Ticks.
    error InvalidPrice(int64 price);

    /// @notice The code is no `TimeInForce`.
    /// @param code The code.
    error InvalidTimeInForce(uint8 code);

    /// @notice The code is no `TriggerKind`.
    /// @param code The code.
    error InvalidTriggerKind(uint8 code);

    /// @notice The order is worth less than the market's minimum and closes no position.
    /// @param value Atoms.
    /// @param minimum Atoms.
    error OrderTooSmall(uint256 value, uint256 minimum);

    /// @notice A post-only order would trade, or is too aggressive for POST_ONLY mode.
    /// @param price Ticks.
    /// @param limit The price that it crosses.
    error PostOnlyWouldCross(int64 price, int64 limit);

    /// @notice An aggressive price lies beyond the band around the mark.
    /// @param price Ticks.
    /// @param limit The band's end on that side.
    error OutsidePriceBand(int64 price, int64 limit);

    /// @notice A reduce-only order does not oppose a position.
    /// @param position Lots.
    /// @param size Lots.
    error ReduceOnlyWouldIncrease(int64 position, int64 size);

    /// @notice An immediate order found nothing at its price.
    /// @param market The market.
    /// @param price Ticks.
    error NothingFilled(uint32 market, int64 price);

    /// @notice The market has no accepted price yet.
    /// @param market The market.
    error NoPrice(uint32 market);

    /// @notice The code is no `SelfTrade`.
    /// @param code The code.
    error InvalidSelfTrade(uint8 code);

    /// @notice An expiry must lie in the future; GTT needs one, GTC, IOC and FOK have none.
    /// @param expiresMs Block time.
    /// @param timeMs The block's time.
    error InvalidExpiry(uint64 expiresMs, uint64 timeMs);

    /// @notice A client id must fit 53 bits.
    /// @param clientId The id.
    error InvalidClientId(uint64 clientId);

    /// @notice The account has something open under this client id.
    /// @param clientId The id.
    /// @param market Where.
    /// @param orderId What.
    error ClientIdInUse(uint64 clientId, uint32 market, uint64 orderId);

    /// @notice The account has nothing open under this client id.
    /// @param clientId The id.
    error ClientIdNotFound(uint64 clientId);

    /// @notice The order, to be filled whole or not at all, would not be filled whole.
    /// @param market The market.
    /// @param filled What would have been filled, signed.
    /// @param size What was asked for.
    error NotFilledWhole(uint32 market, int64 filled, int64 size);

    /// @notice The order met an order of its own account and was to expire then.
    /// @param market The market.
    /// @param orderId The resting order.
    error SelfTradeRefused(uint32 market, uint64 orderId);

    /// @notice The account has as many orders and triggers open as it may.
    /// @param count How many there would be.
    /// @param maximum How many there may be.
    error TooManyOpenOrders(uint32 count, uint32 maximum);

    /// @notice The account has placed and amended as much in this block as it may.
    /// @param maximum How many orders a block.
    error TooManyActions(uint32 maximum);

    /// @notice The position would be too large if all its orders were filled.
    /// @param market The market.
    /// @param size Lots, signed.
    /// @param maximum Lots.
    error PositionTooLarge(uint32 market, int256 size, int64 maximum);

    /// @notice The fill would lift the market's open interest above its cap.
    /// @param market The market.
    /// @param openInterest Lots.
    /// @param maximum Lots.
    error OpenInterestTooLarge(uint32 market, int64 openInterest, int64 maximum);

    /// @notice The new size is not smaller, or not on the same side.
    /// @param sizeBefore What remains, signed.
    /// @param size Lots.
    error NotSmaller(int64 sizeBefore, int64 size);

    /// @notice A fraction of the notional is 0 to 1,000,000 millionths.
    /// @param initialMarginPpm Millionths.
    error InvalidMarginFraction(uint32 initialMarginPpm);

    /// @notice Neither the account itself nor a system address can be an agent.
    /// @param agent The address.
    error InvalidAgent(address agent);

    /// @notice The account has not authorised this agent, or only until now.
    /// @param account For whom.
    /// @param agent The address.
    error AgentNotAuthorized(address account, address agent);

    /// @notice The account has as many agents as it may.
    /// @param maximum How many.
    error TooManyAgents(uint32 maximum);

    /// @notice A batch has too many actions.
    /// @param count How many.
    /// @param maximum How many it may have.
    error BatchTooLarge(uint32 count, uint32 maximum);

    /// @notice Not an action that a batch may contain: placing, amending and cancelling are.
    /// @param selector Its first four bytes.
    error NotAnAction(bytes4 selector);

    /// @notice EIP-6093: the depositor has too few tokens.
    /// @param sender Whose tokens would move.
    /// @param balance What it has.
    /// @param needed What would move.
    error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed);

    /// @notice Turns tokens of the caller into margin; needs no approval.
    /// @param amount Atoms.
    function deposit(uint256 amount) external;

    /// @notice Turns margin of the caller into tokens.
    /// @param amount Atoms; what stays must carry all positions and orders.
    function withdraw(uint256 amount) external;

    /// @notice Places a limit order.
    /// @param market The market.
    /// @param size Signed lots; positive buys.
    /// @param price Ticks.
    /// @param timeInForce What happens to what does not trade at once.
    /// @param reduceOnly Whether it may only close a position.
    /// @return orderId Counts from 1 in each market.
    function placeOrder(
        uint32 market,
        int64 size,
        int64 price,
        TimeInForce timeInForce,
        bool reduceOnly
    ) external returns (uint64 orderId);

    /// @notice Trades at once at any price within the band around the mark.
    /// @param market The market.
    /// @param size Signed lots; positive buys.
    /// @param reduceOnly Whether it may only close a position.
    /// @return orderId Counts from 1 in each market.
    function placeMarketOrder(
        uint32 market,
        int64 size,
        bool reduceOnly
    ) external returns (uint64 orderId);

    /// @notice Places a take-profit or stop-loss: a reduce-only market order at a trigger price.
    /// @param market The market.
    /// @param size What it closes; positive buys, closing a short.
    /// @param triggerPrice The mark that fires it, inclusive.
    /// @param kind Which side fires.
    /// @return orderId Of the same sequence as orders.
    function placeTrigger(
        uint32 market,
        int64 size,
        int64 triggerPrice,
        TriggerKind kind
    ) external returns (uint64 orderId);

    /// @notice Cancels an order or trigger of the caller.
    /// @param market The market.
    /// @param orderId The order or trigger.
    function cancelOrder(uint32 market, uint64 orderId) external;

    /// @notice Cancels all orders and triggers of the caller in a market.
    /// @param market The market.
    /// @return count How many there were.
    function cancelAllOrders(uint32 market) external returns (uint32 count);

    /// @notice Places an order with everything that it may have.
    /// @param request What it asks for.
    /// @return orderId Counts from 1 in each market.
    function placeOrderWith(OrderRequest calldata request) external returns (uint64 orderId);

    /// @notice Places an order and a pair of legs that close what of it is filled.
    /// @dev Fills of the order activate the legs. When it leaves, so does what it did not fill.
    /// @param request The parent; not reduce-only.
    /// @param takeProfit The leg that closes at a profit.
    /// @param stopLoss The leg that closes at a loss.
    /// @return orderId The parent.
    /// @return takeProfitId The leg.
    /// @return stopLossId The leg.
    function placeOrderWithPair(
        OrderRequest calldata request,
        Leg calldata takeProfit,
        Leg calldata stopLoss
    ) external returns (uint64 orderId, uint64 takeProfitId, uint64 stopLossId);

    /// @notice Places a take-profit, stop-loss or stop order with everything that it may have.
    /// @param request What it asks for.
    /// @return orderId Of the same sequence as orders.
    function placeTriggerWith(TriggerRequest calldata request) external returns (uint64 orderId);

    /// @notice Attaches a take-profit and a stop-loss to a position or a resting order.
    /// @dev The first fill of one cancels the other.
    /// @param market The market.
    /// @param parentId The resting order whose fills activate them; 0: the position.
    /// @param size What they close; positive buys. More than the position means all of it.
    /// @param expiresMs The block time from which on they are gone; 0: never.
    /// @param takeProfit The leg that closes at a profit.
    /// @param stopLoss The leg that closes at a loss.
    /// @return takeProfitId The leg.
    /// @return stopLossId The leg.
    function placeTriggerPair(
        uint32 market,
        uint64 parentId,
        int64 size,
        uint64 expiresMs,
        Leg calldata takeProfit,
        Leg calldata stopLoss
    ) external returns (uint64 takeProfitId, uint64 stopLossId);

    /// @notice Changes what remains and the price of a resting order.
    /// @dev A smaller size at the same price keeps the place in the queue, all else is a new order.
    /// @param market The market.
    /// @param orderId The order.
    /// @param size What shall remain; positive buys, the same side.
    /// @param price Ticks.
    /// @return newOrderId The number that it has from now on.
    function amendOrder(
        uint32 market,
        uint64 orderId,
        int64 size,
        int64 price
    ) external returns (uint64 newOrderId);

    /// @notice Changes what remains and the price of a resting order.
    /// @param clientId The order's; it keeps it.
    /// @param size What shall remain; positive buys, the same side.
    /// @param price Ticks.
    /// @return newOrderId The number that it has from now on.
    function amendByClientId(
        uint64 clientId,
        int64 size,
        int64 price
    ) external returns (uint64 newOrderId);

    /// @notice Shrinks a resting order, which keeps its place; comes with the cancels in a block.
    /// @param market The market.
    /// @param orderId The order.
    /// @param size What shall remain; positive buys.
    function shrinkOrder(uint32 market, uint64 orderId, int64 size) external;

    /// @notice Cancels an order or trigger of the caller.
    /// @param clientId The client id of what is open.
    function cancelByClientId(uint64 clientId) external;

    /// @notice Cancels all orders and triggers of the caller, in all markets that are not HALTED.
    /// @return count How many there were.
    function cancelEverything() external returns (uint32 count);

    /// @notice Cancels everything at a block time, unless renewed before: a dead-man's cancel.
    /// @param cancelAtMs Block time; 0 disarms it.
    function setDeadMansCancel(uint64 cancelAtMs) external;

    /// @notice Sets the caller's own initial margin fraction; the larger one holds.
    /// @param market The market.
    /// @param initialMarginPpm Millionths, 1,000,000 / leverage; 0: the market's alone.
    function setLeverage(uint32 market, uint32 initialMarginPpm) external;

    /// @notice Lets an agent place, amend and cancel for the caller, by `batchFor`; never withdraw.
    /// @param agent Who may.
    /// @param expiresMs The block time from which on it may no more.
    function authorizeAgent(address agent, uint64 expiresMs) external;

    /// @notice Takes an agent's leave back.
    /// @param agent Who may no more.
    function revokeAgent(address agent) external;

    /// @notice Carries out up to 50 actions; one that fails reverts only itself.
    /// @param actions Calldata of functions that place, amend and cancel.
    /// @return results What each did.
    function batch(bytes[] calldata actions) external returns (Result[] memory results);

    /// @notice Carries out up to 50 actions for an account that authorised the caller.
    /// @param account For whom.
    /// @param actions Calldata of functions that place, amend and cancel.
    /// @return results What each did.
    function batchFor(
        address account,
        bytes[] calldata actions
    ) external returns (Result[] memory results);

    /// @notice What an account has open under a client id; reverts with ClientIdNotFound.
    /// @param account Whose.
    /// @param clientId The id.
    /// @return market Where.
    /// @return orderId The order or trigger.
    function findByClientId(
        address account,
        uint64 clientId
    ) external view returns (uint32 market, uint64 orderId);

    /// @notice Who may trade for an account.
    /// @param account Whose.
    /// @return Agents by address, expired ones too until another is authorised.
    function getAgents(address account) external view returns (Agent[] memory);

    /// @notice When all that an account has open will be cancelled.
    /// @param account Whose.
    /// @return Block time; 0: not armed.
    function getDeadMansCancel(address account) external view returns (uint64);

    /// @notice An account's own initial margin fraction.
    /// @param account Whose.
    /// @param market The market.
    /// @return Millionths; 0: the market's alone holds.
    function getLeverage(address account, uint32 market) external view returns (uint32);

    /// @notice A margin account at the present marks.
    /// @param account Whose.
    /// @return The account; all zero if it never was.
    function getAccount(address account) external view returns (Account memory);

    /// @notice A position.
    /// @param account Whose.
    /// @param market The market.
    /// @return The position; all zero when flat.
    function getPosition(address account, uint32 market) external view returns (Position memory);

    /// @notice A resting order; reverts with OrderNotFound if it does not rest.
    /// @param market The market.
    /// @param orderId The order.
    /// @return The order.
    function getOrder(uint32 market, uint64 orderId) external view returns (Order memory);

    /// @notice A trigger; reverts with OrderNotFound if there is none.
    /// @param market The market.
    /// @param orderId The trigger.
    /// @return The trigger.
    function getTrigger(uint32 market, uint64 orderId) external view returns (Trigger memory);

    /// @notice A market.
    /// @param market The market.
    /// @return How to convert its units, and its present state.
    function getMarket(uint32 market) external view returns (Market memory);

    /// @notice All markets.
    /// @return Their ids, ascending.
    function marketIds() external view returns (uint32[] memory);
}
