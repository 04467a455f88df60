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
        POST_ONLY // rests; refused if it would trade
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
        PRICE_BAND // the rest of an aggressive order met the price band
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
    }

    /// @notice A waiting or fired take-profit or stop-loss.
    struct Trigger {
        address owner;
        int64 size; // what remains to be closed; positive buys
        int64 triggerPrice;
        TriggerKind kind;
        int64 firedMark; // the mark that fired it; 0 while it waits
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
    event OrderPlaced(
        uint32 indexed market,
        address indexed account,
        uint64 orderId,
        int64 size,
        int64 price,
        TimeInForce timeInForce,
        bool reduceOnly
    );

    /// @notice A take-profit or stop-loss waits.
    /// @param market The market.
    /// @param account Whose trigger.
    /// @param orderId Of the same sequence as orders.
    /// @param size What it closes; positive buys.
    /// @param triggerPrice The mark that fires it, inclusive.
    /// @param kind Which side fires.
    event TriggerPlaced(
        uint32 indexed market,
        address indexed account,
        uint64 orderId,
        int64 size,
        int64 triggerPrice,
        TriggerKind kind
    );

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
