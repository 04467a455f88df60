"""What answers look like, by name: the components of the OpenRPC document.

Ethereum's objects are those of its execution-apis; the exchange's say every quantity twice, as an
integer under its unit and as an exact decimal (`node.rpc.perp`).
"""

from typing import Final

from node.chain.block import Extension
from node.chain.certificate import IndexedSignature
from node.chain.fill_table import INTERVALS
from node.config import Role
from node.consensus.core import Status
from node.consensus.dispute import Dispute
from node.consensus.submissions import Outcome
from node.governance.action import CLASSES
from node.perp.events import TRANSITION_KINDS
from node.perp.order import TriggerKind
from node.perp.status import Mode
from node.rpc.history import LIMIT_MAX
from node.rpc.records import record_schema
from node.rpc.schema import (
    ADDRESS,
    BOOLEAN,
    COUNT,
    DECIMAL,
    HASH,
    HEX_DATA,
    INTEGER,
    NULL,
    NUMBER,
    OBJECT,
    QUANTITY,
    STRING,
    Schema,
    array,
    by_key,
    const,
    extend,
    hex_bytes,
    names,
    nullable,
    obj,
    one_of,
    options,
    ref,
    with_optional,
)
from node.system.classes import ActionClass

TAG: Final = names(["latest", "pending", "earliest", "safe", "finalized"])
MODE: Final = names(mode.name for mode in Mode)
CONFIRMATION: Final = obj(validator=COUNT, blockHash=HASH, stateRoot=HASH)


def _quantity(unit: str) -> Schema:
    return obj(**{unit: INTEGER, "decimal": DECIMAL})


# --- Ethereum's objects ---------------------------------------------------------------------------

_HEADER = obj(
    number=QUANTITY,
    hash=nullable(HASH),
    parentHash=HASH,
    sha3Uncles=HASH,
    miner=nullable(ADDRESS),
    stateRoot=HASH,
    transactionsRoot=HASH,
    receiptsRoot=HASH,
    logsBloom=hex_bytes(256),
    difficulty=QUANTITY,
    gasLimit=QUANTITY,
    gasUsed=QUANTITY,
    timestamp=QUANTITY,
    extraData=HASH,
    mixHash=HASH,
    nonce=nullable(hex_bytes(8)),
    baseFeePerGas=QUANTITY,
    withdrawalsRoot=HASH,
)
_ACCESS_LIST = array(obj(address=ADDRESS, storageKeys=array(HASH)))
_TRANSACTION = obj(
    type=QUANTITY,
    chainId=QUANTITY,
    nonce=QUANTITY,
    **{"from": ADDRESS},
    to=ADDRESS,
    gas=QUANTITY,
    gasPrice=QUANTITY,
    value=QUANTITY,
    input=HEX_DATA,
    r=QUANTITY,
    s=QUANTITY,
    v=QUANTITY,
    hash=HASH,
)
_TYPED_MEMBERS = {
    "yParity": QUANTITY,
    "accessList": _ACCESS_LIST,
    "maxPriorityFeePerGas": QUANTITY,
    "maxFeePerGas": QUANTITY,
}
"""Which of them are there depends on the type."""

_BLOCK = extend(
    _HEADER,
    size=QUANTITY,
    transactions=one_of(array(HASH), array(ref("Transaction"))),
    uncles=array(HASH),
    withdrawals=array(OBJECT),
)
_MINED_TRANSACTION = extend(
    _TRANSACTION,
    blockHash=nullable(HASH),
    blockNumber=nullable(QUANTITY),
    blockTimestamp=nullable(QUANTITY),
    transactionIndex=nullable(QUANTITY),
)

ETHEREUM: Final[dict[str, Schema]] = {
    "BlockRef": one_of(
        TAG,
        QUANTITY,
        HASH,
        options(blockNumber=one_of(TAG, QUANTITY)),
        options(blockHash=HASH, requireCanonical=BOOLEAN),
        obj(forkId=COUNT, blockNumber=QUANTITY),
    ),
    "Header": _HEADER,
    "Block": _BLOCK,
    "DetailedBlock": extend(
        _BLOCK,
        transactions=array(
            with_optional(
                _MINED_TRANSACTION, **_TYPED_MEMBERS, output=HEX_DATA, revertReason=nullable(STRING)
            )
        ),
    ),
    "SignedTransaction": with_optional(_TRANSACTION, **_TYPED_MEMBERS),
    "Transaction": with_optional(_MINED_TRANSACTION, **_TYPED_MEMBERS),
    "CallRequest": {
        "type": "object",
        "properties": {
            "from": ADDRESS,
            "to": nullable(ADDRESS),
            "gas": QUANTITY,
            "gasPrice": QUANTITY,
            "maxFeePerGas": QUANTITY,
            "maxPriorityFeePerGas": QUANTITY,
            "value": QUANTITY,
            "input": HEX_DATA,
            "data": HEX_DATA,
            "accessList": _ACCESS_LIST,
        },
    },
    "Log": obj(
        address=ADDRESS,
        topics=array(HASH),
        data=HEX_DATA,
        blockNumber=QUANTITY,
        blockHash=HASH,
        blockTimestamp=QUANTITY,
        transactionHash=HASH,
        transactionIndex=QUANTITY,
        logIndex=QUANTITY,
        removed=BOOLEAN,
    ),
    "LogFilter": options(
        fromBlock=one_of(TAG, QUANTITY),
        toBlock=one_of(TAG, QUANTITY),
        blockHash=HASH,
        address=one_of(NULL, ADDRESS, array(ADDRESS)),
        topics=array(one_of(NULL, HASH, array(nullable(HASH)))),
    ),
    "Receipt": with_optional(
        obj(
            transactionHash=HASH,
            transactionIndex=QUANTITY,
            blockHash=HASH,
            blockNumber=QUANTITY,
            **{"from": ADDRESS},
            to=ADDRESS,
            cumulativeGasUsed=QUANTITY,
            gasUsed=QUANTITY,
            effectiveGasPrice=QUANTITY,
            contractAddress=NULL,
            logs=array(ref("Log")),
            logsBloom=hex_bytes(256),
            status=QUANTITY,
            type=QUANTITY,
        ),
        revertReason=HEX_DATA,
    ),
    "Proof": obj(
        address=ADDRESS,
        accountProof=array(HEX_DATA),
        balance=QUANTITY,
        codeHash=HASH,
        nonce=QUANTITY,
        storageHash=HASH,
        storageProof=array(
            obj(key=STRING, value={"type": "string", "pattern": "^0x"}, proof=array(HEX_DATA))
        ),
    ),
    "FeeHistory": with_optional(
        obj(
            oldestBlock=QUANTITY,
            baseFeePerGas=nullable(array(QUANTITY)),
            gasUsedRatio=nullable(array(NUMBER)),
        ),
        reward=array(array(QUANTITY)),
    ),
}

# --- the exchange's objects -----------------------------------------------------------------------

_PRICE, _SIZE, _MONEY = ref("Price"), ref("Size"), ref("Money")
_RATE, _FRACTION, _INDEX = ref("Rate"), ref("Fraction"), ref("Index")
_NAMED = {"market": COUNT, "symbol": STRING}
_AS_OF = _NAMED | {"blockNumber": COUNT, "blockHash": HASH}
_EVENT_PLACE = {
    "blockNumber": COUNT,
    "blockHash": HASH,
    "timeMs": COUNT,
    "transactionHash": HASH,
    "logIndex": COUNT,
}
_LIMIT = {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX}
_PAGE = {"fromBlock": COUNT, "limit": _LIMIT, "cursor": STRING}

EXCHANGE: Final[dict[str, Schema]] = {
    "Price": _quantity("ticks"),
    "Size": _quantity("lots"),
    "Money": _quantity("atoms"),
    "Rate": _quantity("ppb"),
    "Fraction": _quantity("ppm"),
    "Index": _quantity("nanoAtoms"),
    "Market": obj(
        **_NAMED,
        lotDecimals=COUNT,
        tickDecimals=COUNT,
        k=COUNT,
        mode=MODE,
        isInGrace=BOOLEAN,
        mark=nullable(_PRICE),
        oracle=obj(
            price=nullable(_PRICE),
            timeMs=nullable(COUNT),
            reportedMs=nullable(COUNT),
            isStale=BOOLEAN,
            isJump=BOOLEAN,
        ),
        funding=obj(rate=_RATE, rateCap=_RATE, index=_INDEX, dust=_INDEX),
        openInterest=_SIZE,
        bestBid=nullable(_PRICE),
        bestAsk=nullable(_PRICE),
        status=obj(mode=MODE, sinceMs=COUNT, sinceHeight=COUNT, quorumMs=COUNT, quorumBlocks=COUNT),
        params=ref("MarketParams"),
    ),
    "MarketParams": obj(
        brackets=array(obj(notionalFrom=_MONEY, initialMargin=_FRACTION)),
        maintenance=_FRACTION,
        oiLowerCap=_MONEY,
        oiUpperCap=_MONEY,
        takerFee=_FRACTION,
        makerFee=_FRACTION,
        priceBand=_FRACTION,
        orderValueMin=_MONEY,
        impactNotional=_MONEY,
        fundingIntervalMs=COUNT,
        fundingInterest=_RATE,
        fundingClampFactor=_FRACTION,
        priceAgeMsMax=COUNT,
        priceMoveMax=_FRACTION,
        priceConfirmMs=COUNT,
        liquidationFee=_FRACTION,
        markBand=_FRACTION,
        vaultSizeMax=COUNT,
        positionMax=_SIZE,
        openInterestMax=_SIZE,
        liquidationNotionalMax=_MONEY,
    ),
    "Account": obj(
        address=ADDRESS,
        balance=_MONEY,
        equity=_MONEY,
        initialMargin=_MONEY,
        maintenanceMargin=_MONEY,
        openNotional=_MONEY,
        pendingFunding=_MONEY,
        withdrawalsFromMs=COUNT,
        positions=array(ref("Position")),
        orders=array(ref("Order")),
        triggers=array(ref("Trigger")),
    ),
    "Position": obj(
        **_NAMED,
        size=_SIZE,
        entryPrice=obj(decimal=DECIMAL),
        entryValue=_MONEY,
        mark=nullable(_PRICE),
        value=_MONEY,
        unrealisedPnl=_MONEY,
        pendingFunding=_MONEY,
        initialMargin=_MONEY,
        maintenanceMargin=_MONEY,
        liquidationPrice=nullable(_PRICE),
    ),
    "Order": obj(
        **_NAMED,
        orderId=COUNT,
        size=_SIZE,
        price=_PRICE,
        reduceOnly=BOOLEAN,
        postOnly=BOOLEAN,
        clientId=nullable(COUNT),
        expiresMs=nullable(COUNT),
        blockNumber=COUNT,
    ),
    "Trigger": obj(
        **_NAMED,
        orderId=COUNT,
        size=_SIZE,
        triggerPrice=_PRICE,
        kind=names(kind.name for kind in TriggerKind),
        firedMark=nullable(_PRICE),
        limitPrice=nullable(_PRICE),
        reduceOnly=BOOLEAN,
        clientId=nullable(COUNT),
        expiresMs=nullable(COUNT),
        otherId=nullable(COUNT),
        parentId=nullable(COUNT),
        pendingSize=_SIZE,
    ),
    "OpenOrders": obj(
        address=ADDRESS,
        blockNumber=COUNT,
        orders=array(ref("Order")),
        triggers=array(ref("Trigger")),
    ),
    "OrderFilter": options(
        market=COUNT, clientId=COUNT, side=names(["buy", "sell"]), reduceOnly=BOOLEAN
    ),
    "OrderBook": obj(
        **_NAMED, blockNumber=COUNT, bids=array(ref("Level")), asks=array(ref("Level"))
    ),
    "Level": obj(price=_PRICE, size=_SIZE, orderCount=COUNT),
    "FeedOptions": options(
        market=COUNT, depth=COUNT, interval=names(INTERVALS), address=ADDRESS, account=ADDRESS
    ),
    "TradeSearch": options(account=ADDRESS, **_PAGE),
    "PaymentSearch": options(market=COUNT, **_PAGE),
    "Span": options(fromMs=COUNT, untilMs=COUNT, limit=_LIMIT),
    "Trades": obj(**_AS_OF, knownFrom=COUNT, trades=array(ref("Trade")), next=nullable(STRING)),
    "Trade": obj(
        **_EVENT_PLACE,
        market=COUNT,
        size=_SIZE,
        price=_PRICE,
        value=_MONEY,
        maker=ADDRESS,
        taker=ADDRESS,
        makerOrderId=COUNT,
        takerOrderId=nullable(COUNT),
        makerFee=_MONEY,
        takerFee=_MONEY,
        isLiquidation=BOOLEAN,
    ),
    "Candles": obj(
        **_AS_OF, interval=names(INTERVALS), knownFrom=COUNT, candles=array(ref("Candle"))
    ),
    "Candle": obj(
        startMs=COUNT,
        endMs=COUNT,
        open=_PRICE,
        high=_PRICE,
        low=_PRICE,
        close=_PRICE,
        volume=_SIZE,
        liquidationVolume=_SIZE,
        fillCount=COUNT,
        isClosed=BOOLEAN,
    ),
    "FundingHistory": obj(
        **_AS_OF,
        intervalMs=COUNT,
        intervals=array(
            obj(
                startMs=COUNT,
                endMs=COUNT,
                blockNumber=COUNT,
                timeMs=COUNT,
                rate=_RATE,
                index=_INDEX,
                change=nullable(_INDEX),
                isClosed=BOOLEAN,
            )
        ),
    ),
    "FundingPayments": obj(
        address=ADDRESS,
        blockNumber=COUNT,
        blockHash=HASH,
        payments=array(obj(**_EVENT_PLACE, market=COUNT, cash=_MONEY, index=_INDEX)),
        next=nullable(STRING),
    ),
    "BlockDetails": obj(
        number=COUNT,
        hash=HASH,
        extension=record_schema(Extension, rlp=HEX_DATA),
        classes=array(names([*(each.name for each in ActionClass), "SYSTEM"])),
        transitions=array(ref("Transition")),
    ),
    "Transition": one_of(
        *(record_schema(kind, kind=const(kind.__name__)) for kind in TRANSITION_KINDS)
    ),
    "Status": record_schema(
        Status,
        mode=MODE,
        deficit=_MONEY,
        vault=_MONEY,
        chainId=COUNT,
        genesisHash=HASH,
        clientVersion=STRING,
    ),
    "Certificate": obj(
        blockNumber=COUNT,
        blockHash=HASH,
        forkId=COUNT,
        devEpoch=COUNT,
        message=HEX_DATA,
        power=COUNT,
        totalPower=COUNT,
        signatures=array(record_schema(IndexedSignature, publicKey=HASH, power=COUNT)),
    ),
    "Dispute": record_schema(Dispute, text=STRING),
    "NodeInfo": obj(
        clientVersion=STRING,
        role=names(Role),
        chainId=COUNT,
        genesisHash=HASH,
        forkId=COUNT,
        devEpoch=COUNT,
        blockNumber=COUNT,
        dataBytes=COUNT,
        peers=array(STRING),
    ),
    "AnvilNodeInfo": obj(
        currentBlockNumber=COUNT,
        currentBlockTimestamp=COUNT,
        currentBlockHash=HASH,
        hardFork=STRING,
        transactionOrder=STRING,
        environment=obj(baseFee=QUANTITY, chainId=COUNT, gasLimit=QUANTITY, gasPrice=QUANTITY),
        forkConfig=obj(forkUrl=NULL, forkBlockNumber=NULL, forkRetryBackoff=NULL),
    ),
    "AnvilMetadata": obj(
        clientVersion=STRING,
        chainId=COUNT,
        instanceId=HASH,
        latestBlockNumber=COUNT,
        latestBlockHash=HASH,
        forkedNetwork=NULL,
        snapshots=by_key(array(one_of(COUNT, HASH))),
    ),
}

# --- the council's and recovery's objects ---------------------------------------------------------

_TRANSACTION_PLACE = obj(
    status=names(["included", "orphaned"]),
    text=STRING,
    forkId=COUNT,
    blockNumber=COUNT,
    blockHash=HASH,
    transactionIndex=COUNT,
    succeeded=BOOLEAN,
)
_PLACE = obj(blockNumber=COUNT, blockHash=HASH)
_COMPARED = extend(_PLACE, forkId=COUNT, stateRoot=HASH)
_KIND = names(kind.__name__ for kind in CLASSES.values())

COUNCIL: Final[dict[str, Schema]] = {
    "Council": obj(
        members=array(ADDRESS),
        threshold=COUNT,
        domain=ref("Domain"),
        forkId=COUNT,
        mode=MODE,
        haltHeight=nullable(COUNT),
        maintenance=nullable(obj(startHeight=COUNT, haltHeight=COUNT, endMs=COUNT)),
        hold=nullable(obj(digest=HASH, forkId=COUNT, blockNumber=COUNT, text=STRING)),
        blockNumber=COUNT,
        timeMs=COUNT,
    ),
    "Domain": obj(name=STRING, version=STRING, chainId=COUNT, verifyingContract=ADDRESS, salt=HASH),
    "ActionKind": _KIND,
    "TypedData": obj(
        types=by_key(array(obj(name=STRING, type=STRING))),
        primaryType=_KIND,
        domain=ref("Domain"),
        message=OBJECT,
    ),
    "SignableAction": obj(typedData=ref("TypedData"), digest=HASH),
    "TakenAction": obj(kind=_KIND, digest=HASH, outcome=names(each.value for each in Outcome)),
    "AuditLog": obj(length=COUNT, head=HASH, entries=array(ref("AuditEntry"))),
    "AuditEntry": obj(
        number=COUNT,
        kind=_KIND,
        action=OBJECT,
        digest=HASH,
        signers=array(ADDRESS),
        blockNumber=COUNT,
        timeMs=COUNT,
        forkId=COUNT,
        result=STRING,
        previous=HASH,
        hash=HASH,
        record=HEX_DATA,
    ),
    "Compensation": obj(
        compensation=COUNT,
        root=HASH,
        refunds=COUNT,
        paid=COUNT,
        total=_MONEY,
        left=_MONEY,
        returned=_MONEY,
        payUntil=COUNT,
        isOpen=BOOLEAN,
        closedBlock=nullable(COUNT),
    ),
    "PaidRefund": obj(
        compensation=COUNT,
        account=ADDRESS,
        isPaid=BOOLEAN,
        index=nullable(COUNT),
        amount=nullable(_MONEY),
        paidBlock=nullable(COUNT),
    ),
    "Snapshot": obj(
        name=STRING,
        forkId=COUNT,
        blockNumber=COUNT,
        blockHash=HASH,
        stateRoot=HASH,
        manifestHash=HASH,
        timeMs=COUNT,
        signers=array(COUNT),
        power=COUNT,
        totalPower=COUNT,
        isCertified=BOOLEAN,
        isCanonical=BOOLEAN,
        isHere=BOOLEAN,
    ),
    "ForkPlan": obj(plan=STRING, planHash=HASH, digest=HASH, typedData=ref("TypedData")),
    "CarriedPlan": obj(
        planHash=HASH,
        forkId=COUNT,
        outcome=names(["forked", "already"]),
        blockNumber=COUNT,
        blockHash=HASH,
        stateRoot=HASH,
        lastRestartBlock=COUNT,
    ),
    "Difference": obj(
        before=_COMPARED,
        after=_COMPARED,
        isWhole=BOOLEAN,
        changes=array(
            obj(
                contract=ADDRESS,
                key=nullable(HASH),
                kind=STRING,
                subject=STRING,
                changed=array(STRING),
                before=nullable(OBJECT),
                after=nullable(OBJECT),
            )
        ),
    ),
    "Fork": obj(
        forkId=COUNT,
        blockNumber=COUNT,
        planHash=HASH,
        reason=STRING,
        snapshot=extend(_PLACE, manifestHash=HASH),
        orphanTip=_PLACE,
        nonceFloor=COUNT,
        gap=obj(fromMs=COUNT, untilMs=COUNT),
        lastRestartBlock=COUNT,
        blockHash=nullable(HASH),
        stateRoot=nullable(HASH),
        gate=nullable(
            obj(
                isOpen=BOOLEAN,
                phase=STRING,
                reason=STRING,
                power=COUNT,
                totalPower=COUNT,
                confirmations=array(CONFIRMATION),
            )
        ),
    ),
    "TransactionStatus": one_of(
        obj(status=names(["waiting", "unknown"]), text=STRING),
        _TRANSACTION_PLACE,
        extend(_TRANSACTION_PLACE, orphanedInFork=COUNT),
    ),
}

SCHEMAS: Final[dict[str, Schema]] = ETHEREUM | EXCHANGE | COUNCIL
"""Every named schema; `node.rpc.schema.ref` refers to one."""
