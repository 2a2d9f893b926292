//! The tables as diesel sees them: one schema for both databases. Migrations are the truth; this follows them.

diesel::table! {
    stores (id) {
        id -> BigInt,
        key -> Text,
        name -> Text,
        timezone -> Text,
        currency -> Text,
        locale -> Text,
        mail_from -> Nullable<Text>,
        reply_to -> Nullable<Text>,
        postal_address -> Nullable<Text>,
        sending -> Text,
        scoring -> Text,
        retention -> Text,
        created_at -> BigInt,
        paused_for -> Nullable<Text>,
        paused_at -> Nullable<BigInt>,
        resumed_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    api_keys (id) {
        id -> BigInt,
        store_id -> BigInt,
        hash -> Text,
        scope -> Text,
        trust -> Text,
        name -> Text,
        created_at -> BigInt,
        revoked_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    users (id) {
        id -> BigInt,
        store_id -> BigInt,
        email -> Text,
        role -> Text,
        password_hash -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    customers (id) {
        id -> BigInt,
        store_id -> BigInt,
        identified -> Bool,
        external_id -> Nullable<Text>,
        email -> Nullable<Text>,
        email_key -> Nullable<Text>,
        phone -> Nullable<Text>,
        name -> Nullable<Text>,
        locale -> Nullable<Text>,
        timezone -> Nullable<Text>,
        country -> Nullable<Text>,
        city -> Nullable<Text>,
        tags -> Text,
        traits -> Text,
        consent -> Text,
        consent_at -> Nullable<BigInt>,
        consent_source -> Nullable<Text>,
        created_at -> BigInt,
        merged_into -> Nullable<BigInt>,
        erased_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    identities (store_id, identity) {
        store_id -> BigInt,
        identity -> Text,
        customer_id -> BigInt,
        home_id -> Nullable<BigInt>,
    }
}

diesel::table! {
    identity_links (store_id, identity, target) {
        store_id -> BigInt,
        identity -> Text,
        target -> Text,
        occurred_at -> BigInt,
        source_key -> Text,
    }
}

diesel::table! {
    fact_keys (store_id, source, source_key) {
        store_id -> BigInt,
        source -> Text,
        source_key -> Text,
    }
}

diesel::table! {
    facts (customer_id, id) {
        customer_id -> BigInt,
        id -> BigInt,
        store_id -> BigInt,
        kind -> Text,
        source -> Text,
        source_key -> Text,
        subject -> Text,
        occurred_at -> BigInt,
        received_at -> BigInt,
        live -> Bool,
        payload -> Text,
    }
}

diesel::table! {
    rollups (customer_id) {
        customer_id -> BigInt,
        store_id -> BigInt,
        changed_at -> BigInt,
        position_at -> BigInt,
        position_key -> Text,
        first_seen_at -> Nullable<BigInt>,
        last_seen_at -> Nullable<BigInt>,
        visits_count -> Integer,
        page_views -> Integer,
        product_views -> Integer,
        carts_count -> Integer,
        checkouts_count -> Integer,
        visit_started_at -> Nullable<BigInt>,
        visit_product_views -> Integer,
        cart_started_at -> Nullable<BigInt>,
        cart_updated_at -> Nullable<BigInt>,
        cart_value -> Nullable<BigInt>,
        checkout_started_at -> Nullable<BigInt>,
        orders_count -> Integer,
        order_days -> Integer,
        spent -> BigInt,
        foreign_orders -> Integer,
        first_order_at -> Nullable<BigInt>,
        last_order_at -> Nullable<BigInt>,
        last_order_day -> Nullable<Integer>,
        median_gap_days -> Nullable<Double>,
        log_gap_sum -> Double,
        last_order_value -> BigInt,
        last_placed_at -> Nullable<BigInt>,
        state -> Text,
    }
}

diesel::table! {
    visits (customer_id, started_at) {
        customer_id -> BigInt,
        started_at -> BigInt,
        store_id -> BigInt,
        ended_at -> BigInt,
        page_views -> Integer,
        product_views -> Integer,
        depth -> Text,
        channel -> Nullable<Text>,
        campaign -> Nullable<Text>,
    }
}

diesel::table! {
    order_keys (store_id, order_id) {
        store_id -> BigInt,
        order_id -> Text,
        customer_id -> BigInt,
        subject -> Text,
        claim -> Text,
    }
}

diesel::table! {
    orders (customer_id, order_id) {
        customer_id -> BigInt,
        order_id -> Text,
        store_id -> BigInt,
        status -> Text,
        placed_at -> BigInt,
        counts -> Bool,
        currency -> Text,
        total -> BigInt,
        refunded -> BigInt,
        coupon -> Nullable<Text>,
        channel -> Nullable<Text>,
        told_by -> Text,
        best -> Text,
        stated_refunded -> BigInt,
        floor_at -> BigInt,
    }
}

diesel::table! {
    order_lines (customer_id, order_id, line) {
        customer_id -> BigInt,
        order_id -> Text,
        line -> Integer,
        product_id -> Nullable<Text>,
        name -> Nullable<Text>,
        quantity -> Double,
        unit_price -> Nullable<BigInt>,
    }
}

diesel::table! {
    refunds (customer_id, order_id, source_key) {
        customer_id -> BigInt,
        order_id -> Text,
        source_key -> Text,
        refunded_at -> BigInt,
        amount -> Nullable<BigInt>,
    }
}

diesel::table! {
    products (store_id, product_id) {
        store_id -> BigInt,
        product_id -> Text,
        name -> Nullable<Text>,
        category -> Nullable<Text>,
        brand -> Nullable<Text>,
        url -> Nullable<Text>,
        image_url -> Nullable<Text>,
        price -> Nullable<BigInt>,
        currency -> Nullable<Text>,
        told_at -> BigInt,
    }
}

diesel::table! {
    scoring_runs (store_id, id) {
        store_id -> BigInt,
        id -> BigInt,
        as_of -> BigInt,
        historic -> Bool,
        ran_at -> BigInt,
        finished -> Bool,
        buyers -> BigInt,
        visitors -> BigInt,
        store_gap_days -> Nullable<Double>,
        summary -> Text,
        edition -> Nullable<BigInt>,
    }
}

diesel::table! {
    at_risk_list (store_id, edition, segment, risk_rank, customer_id) {
        store_id -> BigInt,
        edition -> BigInt,
        segment -> Text,
        risk_rank -> Double,
        customer_id -> BigInt,
        spent -> BigInt,
        value -> BigInt,
    }
}

diesel::table! {
    learnings (store_id, id) {
        store_id -> BigInt,
        id -> BigInt,
        as_of -> BigInt,
        learned_at -> BigInt,
        document -> Text,
        measure -> Text,
        report -> Text,
    }
}

diesel::table! {
    scores (customer_id) {
        customer_id -> BigInt,
        store_id -> BigInt,
        kind -> Text,
        r -> SmallInt,
        f -> SmallInt,
        m -> SmallInt,
        segment -> Text,
        segment_since -> BigInt,
        frequency -> Integer,
        spent -> BigInt,
        orders_count -> Integer,
        last_order_at -> Nullable<BigInt>,
        usual_gap_days -> Nullable<Double>,
        p_alive -> Nullable<Double>,
        p_order_30d -> Nullable<Double>,
        p_order_90d -> Nullable<Double>,
        expected_orders_30d -> Nullable<Double>,
        expected_orders_90d -> Nullable<Double>,
        expected_orders_365d -> Nullable<Double>,
        order_value -> Nullable<BigInt>,
        value_at_risk -> Nullable<BigInt>,
        value_at_risk_week_ago -> Nullable<BigInt>,
        next_order_from -> Nullable<BigInt>,
        next_order_expected_at -> Nullable<BigInt>,
        next_order_until -> Nullable<BigInt>,
        at_risk_since -> Nullable<BigInt>,
        risk_rank -> Nullable<Double>,
    }
}

diesel::table! {
    historic_scores (customer_id) {
        customer_id -> BigInt,
        store_id -> BigInt,
        kind -> Text,
        r -> SmallInt,
        f -> SmallInt,
        m -> SmallInt,
        segment -> Text,
        segment_since -> BigInt,
        frequency -> Integer,
        spent -> BigInt,
        orders_count -> Integer,
        last_order_at -> Nullable<BigInt>,
        usual_gap_days -> Nullable<Double>,
        p_alive -> Nullable<Double>,
        p_order_30d -> Nullable<Double>,
        p_order_90d -> Nullable<Double>,
        expected_orders_30d -> Nullable<Double>,
        expected_orders_90d -> Nullable<Double>,
        expected_orders_365d -> Nullable<Double>,
        order_value -> Nullable<BigInt>,
        value_at_risk -> Nullable<BigInt>,
        value_at_risk_week_ago -> Nullable<BigInt>,
        next_order_from -> Nullable<BigInt>,
        next_order_expected_at -> Nullable<BigInt>,
        next_order_until -> Nullable<BigInt>,
        at_risk_since -> Nullable<BigInt>,
        risk_rank -> Nullable<Double>,
    }
}

diesel::table! {
    segment_history (customer_id, since) {
        customer_id -> BigInt,
        since -> BigInt,
        segment -> Text,
    }
}

diesel::table! {
    customer_days (customer_id, field) {
        customer_id -> BigInt,
        field -> Text,
        store_id -> BigInt,
        month_day -> SmallInt,
    }
}

diesel::table! {
    firings (rule_id, fired_at) {
        rule_id -> BigInt,
        fired_at -> BigInt,
        reached -> BigInt,
        finished_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    rules (id) {
        id -> BigInt,
        store_id -> BigInt,
        key -> Text,
        version -> Integer,
        status -> Text,
        live_since -> Nullable<BigInt>,
        retired_at -> Nullable<BigInt>,
        position -> Integer,
        paused_for -> Nullable<Text>,
        paused_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    rule_versions (rule_id, version) {
        rule_id -> BigInt,
        version -> Integer,
        definition -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    assignments (customer_id, experiment) {
        customer_id -> BigInt,
        experiment -> Text,
        arm -> Text,
        assigned_at -> BigInt,
        share -> Nullable<Double>,
    }
}

diesel::table! {
    enrolments (customer_id, id) {
        customer_id -> BigInt,
        id -> BigInt,
        store_id -> BigInt,
        rule_id -> BigInt,
        rule_version -> Integer,
        episode -> BigInt,
        episode_until -> BigInt,
        order_id -> Nullable<Text>,
        due_at -> BigInt,
        useful_until -> BigInt,
        status -> Text,
        reason -> Nullable<Text>,
        stops_after -> BigInt,
        created_at -> BigInt,
        enrolled_at -> Nullable<BigInt>,
        retry_at -> Nullable<BigInt>,
        shadow -> Bool,
    }
}

diesel::table! {
    decisions (customer_id, id) {
        customer_id -> BigInt,
        id -> BigInt,
        store_id -> BigInt,
        at -> BigInt,
        rule_id -> BigInt,
        enrolment_id -> Nullable<BigInt>,
        step -> Nullable<Integer>,
        outcome -> Text,
        reason -> Nullable<Text>,
        facts -> Text,
        message_id -> Nullable<BigInt>,
    }
}

diesel::table! {
    messages (customer_id, id) {
        customer_id -> BigInt,
        id -> BigInt,
        store_id -> BigInt,
        rule_id -> BigInt,
        rule_version -> Integer,
        enrolment_id -> BigInt,
        step -> Integer,
        class -> Text,
        status -> Text,
        scheduled_at -> BigInt,
        useful_until -> BigInt,
        planned_for -> BigInt,
        held_for -> Nullable<Text>,
        cancelled_for -> Nullable<Text>,
        attempts -> Integer,
        claimed_at -> Nullable<BigInt>,
        lease_until -> Nullable<BigInt>,
        lease_owner -> Nullable<Text>,
        sent_at -> Nullable<BigInt>,
        address -> Nullable<Text>,
        subject -> Nullable<Text>,
        last_reply -> Nullable<Text>,
        shadow -> Bool,
        variant -> Nullable<Text>,
        exit -> Nullable<Text>,
    }
}

diesel::table! {
    suppressions (store_id, email_key) {
        store_id -> BigInt,
        email_key -> Text,
        reason -> Text,
        note -> Nullable<Text>,
        created_at -> BigInt,
    }
}

diesel::table! {
    at_risk_stays (customer_id, rule_id) {
        customer_id -> BigInt,
        rule_id -> BigInt,
        since -> BigInt,
        left_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    at_risk_watches (rule_id) {
        rule_id -> BigInt,
        live_since -> BigInt,
        run -> BigInt,
    }
}

diesel::table! {
    rhythms (store_id) {
        store_id -> BigInt,
        as_of -> BigInt,
        told_until -> BigInt,
        document -> Text,
    }
}

diesel::table! {
    repurchases (customer_id, product_id) {
        customer_id -> BigInt,
        product_id -> Text,
        store_id -> BigInt,
        ordered_at -> BigInt,
        bought_at -> BigInt,
        gap_days -> Double,
        expected_from -> BigInt,
        expected_at -> BigInt,
        expected_until -> BigInt,
        probability -> Double,
    }
}

diesel::table! {
    mail_events (customer_id, message_id, id) {
        customer_id -> BigInt,
        message_id -> BigInt,
        id -> BigInt,
        store_id -> BigInt,
        rule_id -> BigInt,
        kind -> Text,
        at -> BigInt,
        link -> Integer,
        links -> Integer,
        target -> Nullable<Text>,
        agent -> Text,
        verdict -> Text,
        reason -> Nullable<Text>,
    }
}

diesel::table! {
    restores (restored_at) {
        restored_at -> BigInt,
        knows_until -> Nullable<BigInt>,
        lifted_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    replicas (id) {
        id -> Text,
        host -> Text,
        process -> BigInt,
        address -> Text,
        version -> Text,
        started_at -> BigInt,
        seen_at -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    stores,
    api_keys,
    users,
    customers,
    identities,
    identity_links,
    fact_keys,
    facts,
    rollups,
    visits,
    order_keys,
    orders,
    order_lines,
    refunds,
    products,
    scoring_runs,
    learnings,
    scores,
    historic_scores,
    segment_history,
    rules,
    rule_versions,
    assignments,
    enrolments,
    decisions,
    messages,
    suppressions,
    at_risk_stays,
    at_risk_watches,
    rhythms,
    repurchases,
    mail_events
);
